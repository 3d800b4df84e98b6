"""The hub's sign-in for our own services (Starlette, FastAPI).

JupyterHub's own helper for services is made for Tornado, keeps sign-ins under
way in one process's memory and believes what it knows for five minutes. This
one keeps nothing on the server: a sign-in under way and a session are sealed
cookies, so that any replica can answer, and a revoked token or a removed user
is noticed within `hub_users.CACHE_SECONDS` of the hub noticing it.

In short::

    login = HubLogin(service="jobs", prefix="/services/jobs/", …)
    login.install(app)                       # callback, logout, redirect to sign in
    principal = await login.principal(request)   # or Unauthenticated, Forbidden, Unavailable
    token = login.xsrf_token(request)        # for forms and scripts of our pages
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from hub_ext.auth import roles
from hub_ext.auth.access_log import protect_access_log
from hub_ext.auth.hub_users import CACHE_SECONDS, HubUsers
from hub_ext.auth.next_url import safe_next
from hub_ext.auth.sealed import Attempt, Seals, Session, State
from hub_ext.errors import Forbidden, PublicError, Unauthenticated
from hub_ext.names import Principal, PrincipalKind, roles_from_groups

LookupRunToken = Callable[[str], Principal | None]
ErrorPage = Callable[[Request, PublicError], Response]

SESSION_SECONDS = 14 * 24 * 3600
"""A session ends after this at the latest; the hub's token in it may end sooner."""
ATTEMPT_SECONDS = 15 * 60
"""How long the way to the hub and back may take, its sign-in form included."""
ATTEMPTS = 6
"""Tabs that may be signing in at once; the oldest are forgotten beyond."""
STATE_SECONDS = 24 * 3600
LARGEST_FORM = 1024 * 1024

XSRF_HEADER = "X-XSRFToken"
XSRF_FIELD = "_xsrf"

_AUTHORIZATION = re.compile(r"(?:token|bearer)\s+([A-Za-z0-9\-._~+/]{1,512}=*)\s*\Z", re.IGNORECASE)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PRINCIPAL = "almanac_principal"
_SESSION = "almanac_session"


class HubLogin:
    """Who sends this request, by the hub's word.

    Args:
        service: the service's name at the hub.
        prefix: its path, beginning and ending with a slash: ``/services/jobs/``.
        api_token: its secret at the hub.
        hub_api_url: the hub's API as this process reaches it.
        public_url: where browsers reach Almanac (``http://127.0.0.1:8000``);
            cookies are marked Secure where it is https.
        cookie_key: at least 32 characters, the same in all replicas.
        lookup_run_token: finds the principal of a run token, or None; may
            block, since it is called in a thread.
        error_page: shows a person why a sign-in failed; plain text by default.
        hub_prefix: the hub's own path, or its whole address where browsers
            reach it at another host.
        cache_seconds: how old an answer of the hub may be.
        session_seconds: longest session.
    """

    def __init__(
        self,
        *,
        service: str,
        prefix: str,
        api_token: str,
        hub_api_url: str,
        public_url: str,
        cookie_key: str | bytes,
        lookup_run_token: LookupRunToken | None = None,
        error_page: ErrorPage | None = None,
        hub_prefix: str = "/hub/",
        cache_seconds: float = CACHE_SECONDS,
        session_seconds: int = SESSION_SECONDS,
    ):
        if not (prefix.startswith("/") and prefix.endswith("/")):
            raise ValueError(f"prefix {prefix!r} must begin and end with a slash")
        self.service = service
        self.prefix = prefix
        self.hub_prefix = hub_prefix.rstrip("/") + "/"
        self._client_id = f"service-{service}"
        self._secure = public_url.startswith("https:")
        self._seals = Seals(cookie_key)
        self._session_seconds = session_seconds
        self._lookup_run_token = lookup_run_token
        self.error_page = error_page or plain_text
        self._users = HubUsers(hub_api_url, self._client_id, api_token, cache_seconds=cache_seconds)
        # Cookies know no ports, hence the fingerprint: see Seals.
        self._session_cookie = f"almanac-{service}-{self._seals.fingerprint}"
        self._attempt_cookie = f"{self._session_cookie}-signin-"
        protect_access_log()

    # -- for the application

    @property
    def callback_path(self) -> str:
        """Where the hub sends the browser back to; the service's ``oauth_redirect_uri``."""
        return self.prefix + "oauth_callback"

    @property
    def logout_path(self) -> str:
        return self.prefix + "logout"

    @property
    def routes(self) -> list[Route]:
        """Callback and logout, with their whole paths."""
        return [
            Route(self.callback_path, self._callback, methods=["GET"]),
            Route(self.logout_path, self._logout, methods=["GET", "POST"]),
        ]

    def install(self, app: Starlette) -> None:
        """Add the routes, and send browsers that are not signed in to the hub.

        Other `PublicError`s are left to the application.
        """
        app.router.routes[:0] = self.routes
        app.add_exception_handler(Unauthenticated, self._on_unauthenticated)

    async def principal(self, request: Request) -> Principal:
        """Who sends this request.

        An ``Authorization`` header decides alone where there is one: a run's
        token, else a token of the hub. Otherwise it is the session cookie of
        our own pages, and then a write needs the XSRF token, in the header
        ``X-XSRFToken`` or the form field ``_xsrf``.

        Raises:
            Unauthenticated: nobody the hub knows (any more).
            Forbidden: somebody who may not use this service, or a write that
                does not come from our own pages.
            Unavailable: the hub does not answer.
        """
        known: Principal | None = getattr(request.state, _PRINCIPAL, None)
        if known is None:
            header = request.headers.get("authorization")
            if header is not None:
                known = await self._by_header(header)
            else:
                known = await self._by_cookie(request)
            setattr(request.state, _PRINCIPAL, known)
        return known

    def xsrf_token(self, request: Request) -> str:
        """The token that writes of this session need, for forms and scripts of a page.

        To be called while a page is rendered. Empty without a session, and for
        a request that is no navigation: a script in somebody's notebook, which
        shares our origin, may fetch our pages but does not get the token.
        """
        if request.headers.get("sec-fetch-mode", "navigate") != "navigate":
            return ""
        # A service worker that passes a navigation on keeps its mode, and not
        # that its answer goes to a window.
        if request.headers.get("sec-fetch-dest", "document") != "document":
            return ""
        session = self._session(request)
        return "" if session is None else self._seals.xsrf_token(session)

    def login_redirect(
        self, request: Request, *, again: int = 0, to: str | None = None
    ) -> Response:
        """Send the browser to the hub to sign in, and then back to where it is.

        Args:
            again: how often this was tried without the cookie coming back.
            to: path to come back to; by default the one asked for now.
        """
        if to is None:
            query = request.url.query
            to = request.url.path + (f"?{query}" if query else "")
        if to.partition("?")[0] in (self.callback_path, self.logout_path):
            to = self.prefix
        attempt = Attempt.new()
        state = State(attempt.id, safe_next(to, self.prefix), again)
        parameters = {
            "client_id": self._client_id,
            "response_type": "code",
            "redirect_uri": self.callback_path,
            "state": self._seals.seal_state(state),
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        response = RedirectResponse(
            f"{self.hub_prefix}api/oauth2/authorize?{urlencode(parameters)}", status_code=302
        )
        response.headers["Cache-Control"] = "no-store"
        self._forget_oldest_attempts(request, response)
        self._set(
            request,
            response,
            self._attempt_cookie + attempt.id,
            self._seals.seal_attempt(attempt),
            max_age=ATTEMPT_SECONDS,
        )
        return response

    async def unauthenticated(self, request: Request, error: Unauthenticated) -> Response:
        """To the hub for a person who opens a page; a problem document for a program."""
        if is_navigation(request) and "authorization" not in request.headers:
            return self.login_redirect(request)
        return problem(error, {"WWW-Authenticate": "Bearer"})

    async def aclose(self) -> None:
        """Close the connections to the hub."""
        await self._users.aclose()

    # -- who

    async def _by_header(self, header: str) -> Principal:
        match = _AUTHORIZATION.match(header)
        if match is None:
            raise Unauthenticated(
                "The Authorization header is not one that is understood here.",
                mend="Send `Authorization: Bearer TOKEN`.",
            )
        token = match.group(1)
        if (run := await self._run(token)) is not None:
            return run
        return self._of_model(await self._users.whose(token), browser=False)

    async def _run(self, token: str) -> Principal | None:
        if self._lookup_run_token is None:
            return None
        return await run_in_threadpool(self._lookup_run_token, token)

    async def _by_cookie(self, request: Request) -> Principal:
        session = self._session(request)
        if session is None:
            raise Unauthenticated(
                "Nobody is signed in here.", mend="Sign in, or send a token of the hub."
            )
        if request.method not in _SAFE_METHODS:
            await self._check_origin(request, session)
        return self._of_model(await self._users.whose(session.token), browser=True)

    def _session(self, request: Request) -> Session | None:
        if not hasattr(request.state, _SESSION):
            value = request.cookies.get(self._session_cookie)
            session = self._seals.open_session(value, max_age=self._session_seconds)
            setattr(request.state, _SESSION, session)
        found: Session | None = getattr(request.state, _SESSION)
        return found

    async def _check_origin(self, request: Request, session: Session) -> None:
        given = request.headers.get(XSRF_HEADER)
        if given is None:
            given = await _form_field(request, XSRF_FIELD)
        foreign = request.headers.get("sec-fetch-site", "same-origin") not in (
            "same-origin",
            "none",
        )
        if foreign or not self._seals.xsrf_matches(session, given):
            raise Forbidden(
                "This request does not come from a page of this session.",
                mend="Load the page again and repeat what you did.",
                reason="xsrf",
            )

    def _of_model(self, model: Mapping[str, Any], *, browser: bool) -> Principal:
        scopes = model.get("scopes") or []
        name = str(model.get("name", ""))
        if model.get("kind") != "user" or not name:
            raise Forbidden(
                f"{name!r} is a service of the hub: only people and runs act here.",
                mend="Use the token of a user.",
            )
        if not roles.may_enter(scopes, self.service):
            raise Forbidden(
                f"This token of {name} may not use the service {self.service!r}.",
                mend=f"Make one with the scope access:services!service={self.service}.",
            )
        groups = model.get("groups") or []
        return Principal(
            kind=PrincipalKind.USER,
            name=name,
            projects=roles_from_groups(name, groups),
            rights=roles.rights(scopes),
            browser=browser,
            operator=roles.OPERATORS_GROUP in groups,
        )

    # -- signing in and out

    async def _callback(self, request: Request) -> Response:
        state = self._seals.open_state(request.query_params.get("state"), max_age=STATE_SECONDS)
        if state is None:
            # Not from us, or days old. Where to go is not known: to the start.
            return RedirectResponse(self.prefix, status_code=302)
        cookie = self._attempt_cookie + state.attempt
        attempt = self._seals.open_attempt(request.cookies.get(cookie), max_age=ATTEMPT_SECONDS)
        if attempt is None or attempt.id != state.attempt:
            return self._begin_again(request, state)
        response: Response
        try:
            if request.query_params.get("error"):
                raise Forbidden(
                    "The hub did not let you in here.",
                    mend="Ask your operator whether you may use this service.",
                )
            token = await self._users.exchange(
                request.query_params.get("code", ""), attempt.verifier, self.callback_path
            )
            self._of_model(await self._users.whose(token), browser=True)
        except Unauthenticated:
            return self._begin_again(request, state)
        except PublicError as error:
            response = self.error_page(request, error)
            self._unset(request, response, cookie)
            return response
        response = RedirectResponse(safe_next(state.next, self.prefix), status_code=302)
        response.headers["Cache-Control"] = "no-store"
        # Until the browser is closed, and never longer than the seal is good.
        self._set(
            request, response, self._session_cookie, self._seals.seal_session(Session.new(token))
        )
        self._unset(request, response, cookie)
        return response

    def _begin_again(self, request: Request, state: State) -> Response:
        # The form at the hub was open for too long, the link was followed
        # twice, or the browser keeps no cookies: then twice is enough.
        if state.again:
            return self.error_page(
                request,
                Forbidden(
                    "Signing in did not come to an end in this browser.",
                    mend="Allow cookies for this site, then open the page again.",
                    reason="cookies",
                ),
            )
        return self.login_redirect(request, again=state.again + 1, to=state.next)

    async def _logout(self, request: Request) -> Response:
        """End the session here and at the hub, which also ends its tokens."""
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return RedirectResponse(self.prefix, status_code=303)
        session = self._session(request)
        if session is not None:
            self._users.forget(session.token)
        response = RedirectResponse(f"{self.hub_prefix}logout", status_code=303)
        response.headers["Cache-Control"] = "no-store"
        self._unset(request, response, self._session_cookie)
        return response

    async def _on_unauthenticated(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Unauthenticated)
        return await self.unauthenticated(request, error)

    # -- cookies

    def _forget_oldest_attempts(self, request: Request, response: Response) -> None:
        # A page that reloads itself while nobody is signed in would otherwise
        # fill the browser's headers until the proxy refuses them.
        names = [name for name in request.cookies if name.startswith(self._attempt_cookie)]
        for name in names[: max(0, len(names) - ATTEMPTS + 1)]:
            self._unset(request, response, name)

    def _set(
        self,
        request: Request,
        response: Response,
        name: str,
        value: str,
        *,
        max_age: int | None = None,
    ) -> None:
        response.set_cookie(
            name,
            value,
            max_age=max_age,
            path=self.prefix,
            secure=self._secure or request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )

    def _unset(self, request: Request, response: Response, name: str) -> None:
        response.delete_cookie(
            name,
            path=self.prefix,
            secure=self._secure or request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )


def is_navigation(request: Request) -> bool:
    """Whether a person opens a page, as against a program or a script asking for data."""
    if request.method not in ("GET", "HEAD"):
        return False
    mode = request.headers.get("sec-fetch-mode")
    if mode is not None:
        return mode == "navigate"
    return "text/html" in request.headers.get("accept", "")


def problem(error: PublicError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The RFC 9457 response to a refusal."""
    return JSONResponse(
        error.problem(),
        status_code=error.status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type="application/problem+json",
    )


def plain_text(request: Request, error: PublicError) -> Response:
    """A refusal for a person, where the application has no page for it."""
    return PlainTextResponse(str(error), error.status, headers={"Cache-Control": "no-store"})


async def _form_field(request: Request, name: str) -> str | None:
    """A field of a plain form. The body stays readable for the endpoint.

    Uploads (multipart) are not searched: whoever sends one can set the header.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return None
    try:
        length = int(request.headers.get("content-length", ""))
    except ValueError:
        return None
    if length > LARGEST_FORM:
        return None
    body = await request.body()
    values = parse_qs(body.decode("utf-8", "replace")).get(name)
    return values[0] if values else None
