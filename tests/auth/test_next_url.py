"""Where a sign-in may lead: into the service, whatever is asked for."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub_ext.auth.next_url import safe_next

PREFIX = "/services/jobs/"
SNIPPETS = st.sampled_from(
    ["/", "//", "\\", "..", ".", "%2e", "%2E%2e", "%252e", "%2f", "%5c", "@", ":", "?", "#", "\t",
     "\n", "\r", "\0", " ", "http:", "https://", "javascript:", "evil.example", "services", "jobs",
     "/services/jobs/", "runs/1", "a=b", "é", "／", "%00"]
)  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "/services/jobs/",
        "/services/jobs/runs/1",
        "/services/jobs/?project=a&next=/services/jobs/",
        "/services/jobs/jobs/7?x=http://evil.example/..",
        "/services/jobs/a%20b/%C3%A9?c=%2F%2F",
    ],
)
def test_pages_of_the_service_are_kept(path: str) -> None:
    assert safe_next(path, PREFIX) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "/",
        "/hub/home",
        "/services/jobs",
        "/services/jobsevil/",
        "//evil.example/services/jobs/",
        "http://evil.example/services/jobs/",
        "https:/services/jobs/",
        "/\\evil.example",
        "/services/jobs/\\evil.example",
        "/services/jobs/../../hub/logout",
        "/services/jobs/%2e%2e/%2e%2e/hub/logout",
        "/services/jobs/%252e%252e/hub/logout",
        "/services/jobs/..%2fother/",
        "/services/jobs//evil.example",
        "/services/jobs/%5c%5cevil.example",
        "/services/jobs/\nSet-Cookie: a=b",
        "/services/jobs/é",
        "/services/jobs/" + "a" * 3000,
        "javascript:alert(1)//services/jobs/",
    ],
)
def test_everything_else_leads_to_the_start_page(path: str | None) -> None:
    assert safe_next(path, PREFIX) == PREFIX


ANYTHING = st.text() | st.lists(SNIPPETS, max_size=12).map("".join)
WITHIN = st.lists(SNIPPETS, max_size=8).map(lambda parts: PREFIX + "".join(parts))


@given(ANYTHING | WITHIN)
@example(PREFIX + "%25252e%25252e/x")
def test_what_comes_out_stays_within_the_service(wanted: str) -> None:
    result = safe_next(wanted, PREFIX)
    assert result in (wanted, PREFIX)
    assert result.isascii()
    assert result.isprintable()
    assert "\\" not in result
    parts = urlsplit(result)
    assert (parts.scheme, parts.netloc) == ("", "")
    # As a browser and as a proxy that decodes once or twice would resolve it.
    path = parts.path
    for _ in range(3):
        assert (posixpath.normpath(path) + "/").startswith(PREFIX)
        assert "//" not in path
        path = unquote(path)
