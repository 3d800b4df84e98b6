"""The variables by which a kernel finds the object store without being set up."""

from __future__ import annotations


def kernel_environment(
    endpoint: str, region: str, credentials_url: str, token_file: str
) -> dict[str, str]:
    """Variables for servers and runs; none of them is a secret.

    With these alone boto3, s3fs, obstore, polars, pyarrow and pandas read and
    write ``s3://`` addresses; DuckDB with `hub_ext.bundles.environment.almanac_duckdb`,
    which reads the same ones. AWS libraries fetch credentials from
    ``credentials_url`` with the token in ``token_file`` when they need some, and
    again before those expire.

    PyArrow reads them in ``FileSystem.from_uri``, not in a bare ``S3FileSystem()``;
    its ``write_dataset`` and pandas' ``partition_cols`` need ``create_dir=False``,
    since otherwise they ask about the bucket as a whole, which is refused.

    Args:
        endpoint: address of the S3 API, ``http://127.0.0.1:PORT``.
        region: of the bucket.
        credentials_url: where `Credentials.container_document` is served; the
            libraries accept https, and http on loopback only.
        token_file: file whose content goes into the Authorization header.
    """
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        # obstore and polars refuse http otherwise.
        "AWS_ALLOW_HTTP": "true" if endpoint.startswith("http://") else "false",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": credentials_url,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token_file,
        # Nobody answers there; without it some libraries wait for seconds.
        "AWS_EC2_METADATA_DISABLED": "true",
        # s3fs keeps each listing for as long as the kernel lives: what others
        # have written since was not found, and what they changed could not be read.
        "FSSPEC_S3_USE_LISTINGS_CACHE": "false",
    }
