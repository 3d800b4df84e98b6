"""The settings of `S3ContentsManager`, under the names that s3contents has for them.

What has no meaning here is refused when the server starts, with what to set
instead: a setting that is silently ignored is found out too late.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from traitlets import Any as AnyTrait
from traitlets import Bool, HasTraits, TraitError, Unicode, default, validate

from lab_extension.contents.objects.credentials import CredentialsProvider, Keys, StaticKeys
from lab_extension.contents.objects.faults import Refused
from lab_extension.contents.objects.store import StoreSettings

_AWS = ("https://s3.amazonaws.com", "http://s3.amazonaws.com", "s3.amazonaws.com")


def _environment(trait: str, *variables: str, otherwise: Any = "") -> Any:
    """The default of ``trait``: the first of the variables that is set."""

    def first(self: Any) -> Any:
        for variable in variables:
            if value := os.environ.get(variable):
                return value
        return otherwise

    return default(trait)(first)


def _flag(trait: str, *variables: str) -> Any:
    def on(self: Any) -> bool:
        return any(
            os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in variables
        )

    return default(trait)(on)


class S3Traits(HasTraits):  # type: ignore[misc]
    bucket = Unicode(
        help="""The bucket that holds the files. Its name alone: no ``s3://``, no path.

        Default: ``JPY_S3_BUCKET``, else ``notebooks``."""
    ).tag(config=True)
    _bucket_default = _environment("bucket", "JPY_S3_BUCKET", otherwise="notebooks")

    prefix = Unicode(
        help="""Where in the bucket the files are: ``teams/prices``. Empty: the whole bucket.

        Default: ``JPY_S3_PREFIX``."""
    ).tag(config=True)
    _prefix_default = _environment("prefix", "JPY_S3_PREFIX")

    endpoint_url = Unicode(
        help="""The store's address: ``https://minio.example.org``. Empty: AWS's own of the region.

        Default: ``JPY_S3_ENDPOINT_URL``, else what the AWS SDKs take
        (``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``), else AWS's own."""
    ).tag(config=True)
    _endpoint_default = _environment(
        "endpoint_url", "JPY_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"
    )

    region_name = Unicode(
        help="""The region that requests are signed for.

        Default: ``JPY_S3_REGION_NAME``, ``AWS_REGION``, ``AWS_DEFAULT_REGION``, else
        ``us-east-1``, which stores that know no regions take."""
    ).tag(config=True)
    _region_default = _environment(
        "region_name",
        "JPY_S3_REGION_NAME",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        otherwise="us-east-1",
    )

    access_key_id = Unicode(
        allow_none=True,
        help="""The access key. Without one, keys are found as the AWS SDKs find them: in
        ``AWS_ACCESS_KEY_ID`` …, or from the container-credentials endpoint, and renewed.

        Default: ``JPY_S3_ACCESS_KEY_ID``.""",
    ).tag(config=True)
    _access_key_default = _environment("access_key_id", "JPY_S3_ACCESS_KEY_ID", otherwise=None)

    secret_access_key = Unicode(
        allow_none=True,
        help="The secret of `access_key_id`. Default: ``JPY_S3_SECRET_ACCESS_KEY``.",
    ).tag(config=True)
    _secret_default = _environment("secret_access_key", "JPY_S3_SECRET_ACCESS_KEY", otherwise=None)

    session_token = Unicode(
        allow_none=True,
        help="""The session token of keys that expire. They are not renewed: better leave the
        keys out and let them be found. Default: ``JPY_S3_SESSION_TOKEN``.""",
    ).tag(config=True)
    _token_default = _environment("session_token", "JPY_S3_SESSION_TOKEN", otherwise=None)

    anon = Bool(
        help="Sign nothing: for buckets that everybody may read. Default: ``JPY_S3_ANON``."
    ).tag(config=True)
    _anon_default = _flag("anon", "JPY_S3_ANON")

    skip_tls_verify = Bool(
        help="""Accept any certificate of the endpoint. Anybody between here and there can then
        read and change what is sent. Default: ``JPYNB_S3_SKIP_TLS_VERIFY``."""
    ).tag(config=True)
    _skip_tls_default = _flag(
        "skip_tls_verify", "JPYNB_S3_SKIP_TLS_VERIFY", "JPY_S3_SKIP_TLS_VERIFY"
    )

    sse = Unicode(
        help="""Encryption at rest that is asked for with every write: ``AES256`` or ``aws:kms``.
        Empty: as the bucket is set up. Default: ``JPY_S3_SSE``."""
    ).tag(config=True)
    _sse_default = _environment("sse", "JPY_S3_SSE")

    kms_key_id = Unicode(
        help="The key for ``sse = 'aws:kms'``. Default: ``JPY_S3_KMS_KEY_ID``."
    ).tag(config=True)
    _kms_default = _environment("kms_key_id", "JPY_S3_KMS_KEY_ID")

    init_s3_hook = AnyTrait(
        help="""Called with this manager before anything else is done with its settings: it may
        set them, from a vault for instance."""
    ).tag(config=True)

    boto3_session = AnyTrait(
        help="""A ``boto3.Session`` (set by `init_s3_hook`) whose keys are used, renewed by it."""
    )

    delimiter = Unicode("/", help="Always ``/``. Known for settings made for s3contents.").tag(
        config=True
    )

    signature_version = Unicode(
        help="""Always version 4: empty or ``s3v4``. Default: ``JPY_S3_SIGNATURE_VERSION``."""
    ).tag(config=True)
    _signature_default = _environment("signature_version", "JPY_S3_SIGNATURE_VERSION")

    s3fs_additional_kwargs = AnyTrait(
        help="Refused: there is no s3fs here. Set `sse` and `kms_key_id`."
    ).tag(config=True)
    s3fs_config_kwargs = AnyTrait(
        help="Refused: there is no botocore here. Set `endpoint_url`, `region_name` and `anon`."
    ).tag(config=True)

    log: Any

    @validate("bucket")  # type: ignore[untyped-decorator]
    def _validate_bucket(self, proposal: Any) -> str:
        given = str(proposal["value"])
        name = bucket_name(given)
        if name != given:
            self.log.warning(
                "S3ContentsManager.bucket is %r: using the bucket %r. Set bucket = %r, and a path "
                "in it as prefix.",
                given,
                name,
                name,
            )
        return name

    @validate("prefix")  # type: ignore[untyped-decorator]
    def _validate_prefix(self, proposal: Any) -> str:
        value = str(proposal["value"]).strip("/")
        if "//" in value or any(part in (".", "..") for part in value.split("/")):
            raise TraitError(
                f"S3ContentsManager.prefix is {value!r}: it must be names separated by single "
                "slashes, as in 'teams/prices'."
            )
        return value

    @validate("delimiter")  # type: ignore[untyped-decorator]
    def _validate_delimiter(self, proposal: Any) -> str:
        if proposal["value"] != "/":
            raise TraitError(
                f"S3ContentsManager.delimiter is {proposal['value']!r}: Jupyter's paths have '/'. "
                "Leave it out."
            )
        return "/"

    @validate("signature_version")  # type: ignore[untyped-decorator]
    def _validate_signature_version(self, proposal: Any) -> str:
        value = str(proposal["value"])
        if value not in ("", "s3v4", "v4"):
            raise TraitError(
                f"S3ContentsManager.signature_version is {value!r}: requests are signed with "
                "version 4, which every store takes. Leave it out, or set anon = True to sign "
                "nothing."
            )
        return value

    @validate("sse")  # type: ignore[untyped-decorator]
    def _validate_sse(self, proposal: Any) -> str:
        value = str(proposal["value"])
        if value not in ("", "AES256", "aws:kms"):
            raise TraitError(
                f"S3ContentsManager.sse is {value!r}: it must be 'AES256' or 'aws:kms'."
            )
        return value

    @validate("s3fs_additional_kwargs", "s3fs_config_kwargs")  # type: ignore[untyped-decorator]
    def _refuse_s3fs(self, proposal: Any) -> None:
        if proposal["value"]:
            name = proposal["trait"].name
            instead = {
                "s3fs_additional_kwargs": "sse and kms_key_id for encryption",
                "s3fs_config_kwargs": "endpoint_url, region_name, anon and skip_tls_verify",
            }[name]
            raise TraitError(
                f"S3ContentsManager.{name}: there is no s3fs here, so that these "
                f"({', '.join(map(str, proposal['value']))}) have no meaning. Set {instead}."
            )

    def store_settings(self) -> StoreSettings:
        """What the store is made of.

        Raises:
            TraitError: settings that do not go together.
        """
        bucket_name(self.bucket)  # traitlets does not validate what is as empty as before
        endpoint = self.endpoint_url.rstrip("/")
        if endpoint and endpoint not in _AWS and urlsplit(endpoint).scheme not in ("http", "https"):
            raise TraitError(
                f"S3ContentsManager.endpoint_url is {endpoint!r}: it must begin with https:// or "
                "http://."
            )
        if self.kms_key_id and self.sse != "aws:kms":
            raise TraitError("S3ContentsManager.kms_key_id is set: set sse = 'aws:kms' with it.")
        return StoreSettings(
            endpoint_url=None if endpoint in ("", *_AWS) else endpoint,
            bucket=self.bucket,
            prefix=self.prefix,
            region=self.region_name,
            credentials=None if self.anon else self._credentials(),
            anonymous=self.anon,
            verify_tls=not self.skip_tls_verify,
            sse=self.sse,
            kms_key_id=self.kms_key_id,
        )

    def _credentials(self) -> CredentialsProvider | None:
        if self.boto3_session is not None:
            return SessionKeys(self.boto3_session.get_credentials)
        if bool(self.access_key_id) != bool(self.secret_access_key):
            missing = "secret_access_key" if self.access_key_id else "access_key_id"
            raise TraitError(
                f"S3ContentsManager.{missing} is missing: set both keys, or neither to have them "
                "found as the AWS SDKs find them."
            )
        if self.access_key_id:
            return StaticKeys(self.access_key_id, self.secret_access_key, self.session_token)
        return None


def bucket_name(given: str) -> str:
    """The bucket's name out of what people write for it: ``s3://name/path`` too.

    Raises:
        TraitError: there is no name in it.
    """
    address = urlsplit(given)
    name = address.netloc if "://" in given else given.partition("/")[0]
    if not name or ":" in name or (address.scheme and "://" not in given):
        raise TraitError(
            f"S3ContentsManager.bucket is {given!r}: it must be the name of a bucket, as in "
            "'notebooks'. Access points (arn:…) are not supported: name the bucket behind it."
        )
    return name


class SessionKeys:
    """The keys of a ``boto3.Session``, which renews them itself.

    Args:
        credentials: ``session.get_credentials``.
    """

    def __init__(self, credentials: Callable[[], Any]):
        self._credentials = credentials

    async def keys(self) -> Keys:
        found = await asyncio.to_thread(self._frozen)
        if found is None:
            raise Refused(
                "The boto3 session has no keys.", mend="Give it keys, or set access_key_id."
            )
        return Keys(found.access_key, found.secret_key, found.token)

    def forget(self) -> None:
        """The session sees by itself when its keys have ended."""

    def _frozen(self) -> Any:
        credentials = self._credentials()
        return credentials and credentials.get_frozen_credentials()
