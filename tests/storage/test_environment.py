"""What a notebook reaches with the variables of its kernel, and what it does not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub_ext import toolchain
from hub_ext.storage.environment import kernel_environment
from hub_ext.storage.objects import ObjectStore

BEGIN = """
import os, pathlib

import boto3, duckdb, obstore, pandas, polars, pyarrow.dataset, pyarrow.parquet, s3fs
from obstore.store import from_url
from pyarrow.fs import FileSelector, FileSystem

own, other = os.environ["ALMANAC_PROJECT_URI"], os.environ["OTHER_URI"]
files, place = FileSystem.from_uri(own)
bucket, _, prefix = place.partition("/")
table = pandas.DataFrame({"year": [2024, 2025, 2026], "gdp": [1.5, 2.5, 3.5]})
"""

WAYS = {
    "boto3": """
s3 = boto3.client("s3")
s3.put_object(Bucket=bucket, Key=prefix + "/b/digits", Body=b"0123456789")
part = s3.get_object(Bucket=bucket, Key=prefix + "/b/digits", Range="bytes=2-4")
assert (part["Body"].read(), part["ContentRange"]) == (b"234", "bytes 2-4/10")
large = os.urandom(9_000_000)
(pathlib.Path.home() / "large").write_bytes(large)
s3.upload_file(str(pathlib.Path.home() / "large"), bucket, prefix + "/b/large")
s3.download_file(bucket, prefix + "/b/large", str(pathlib.Path.home() / "again"))
assert (pathlib.Path.home() / "again").read_bytes() == large
pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + "/b/")
assert [o["Key"].rpartition("/")[2] for p in pages for o in p["Contents"]] == ["digits", "large"]
s3.copy_object(Bucket=bucket, Key=prefix + "/b/copy", CopySource=f"{bucket}/{prefix}/b/digits")
s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": prefix + "/b/digits"}]})
left = boto3.resource("s3").Bucket(bucket).objects.filter(Prefix=prefix + "/b/")
assert [o.key for o in left] == [prefix + "/b/copy", prefix + "/b/large"]
""",
    "s3fs": """
remote = s3fs.S3FileSystem()
remote.makedirs(own + "/s", exist_ok=True)
with remote.open(own + "/s/t.csv", "wb") as file:
    file.write(b"a,b\\n1,2\\n")
assert remote.ls(place + "/s") == [place + "/s/t.csv"]
assert remote.cat_file(own + "/s/t.csv", start=4, end=5) == b"1"
with remote.open(own + "/s/large", "wb") as file:
    for digit in b"0123456789":
        file.write(bytes([digit]) * 1_000_000)
with remote.open(own + "/s/large") as file:
    file.seek(8_999_999)
    assert file.read(2) == b"89"
# What another program writes meanwhile is seen, and what it changes is read.
boto3.client("s3").put_object(Bucket=bucket, Key=prefix + "/s/new.csv", Body=b"a,b\\n3,4\\n")
assert remote.exists(own + "/s/new.csv") and place + "/s/new.csv" in remote.ls(place + "/s")
assert pandas.read_csv(own + "/s/new.csv").b.tolist() == [4]
boto3.client("s3").put_object(Bucket=bucket, Key=prefix + "/s/new.csv", Body=b"a,b\\n3,4\\n5,6\\n")
assert pandas.read_csv(own + "/s/new.csv").b.tolist() == [4, 6]
remote.mv(own + "/s/large", own + "/s/moved")
remote.rm(own + "/s", recursive=True)
assert remote.find(own + "/s") == []
""",
    "duckdb": """
query = f"COPY (SELECT i, i % 7 AS k FROM range(1000000) t(i)) TO '{own}/d/t.parquet'"
duckdb.sql(query + " (ROW_GROUP_SIZE 50000)")
assert duckdb.sql(f"SELECT sum(k) FROM '{own}/d/t.parquet' WHERE i > 999990").fetchall() == [(27,)]
duckdb.sql(f"COPY (SELECT 1 AS a, 'x' AS b) TO '{own}/d/u.csv'")
assert duckdb.read_csv(own + "/d/u.csv").fetchall() == [(1, "x")]
assert duckdb.sql(f"SELECT file FROM glob('{own}/d/*') ORDER BY 1").fetchall() == [
    (own + "/d/t.parquet",), (own + "/d/u.csv",)
]
database = duckdb.connect(str(pathlib.Path.home() / "own.db"))
database.execute(f"CREATE TABLE t AS FROM '{own}/d/*.parquet'")
database.execute(f"COPY t TO '{own}/d/by-k' (FORMAT parquet, PARTITION_BY k)")
assert database.sql(f"SELECT count(*) FROM '{own}/d/by-k/**/*.parquet' WHERE k = 3").fetchall() == [
    (142857,)
]
# As people paste it, though there is no way to the world.
database.execute("INSTALL httpfs; LOAD httpfs; INSTALL aws; LOAD aws")
database.execute("CREATE SECRET (TYPE s3, PROVIDER credential_chain)")
assert not (pathlib.Path.home() / ".duckdb" / "stored_secrets").exists()
""",
    "obstore": """
store = from_url(own)
obstore.put(store, "o/hello.txt", b"hello")
assert bytes(obstore.get(store, "o/hello.txt").bytes()) == b"hello"
assert bytes(obstore.get_range(store, "o/hello.txt", start=1, end=3)) == b"el"
assert [meta["path"] for batch in obstore.list(store, "o") for meta in batch] == ["o/hello.txt"]
""",
    "pyarrow": """
arrow = pyarrow.Table.from_pandas(table)
pyarrow.parquet.write_table(arrow, f"{place}/a/t.parquet", filesystem=files)
assert pyarrow.parquet.read_table(own + "/a/t.parquet").num_rows == 3
numbers = pyarrow.table({"n": range(100_000), "m": range(100_000)})
pyarrow.parquet.write_table(numbers, own + "/n/n.parquet", row_group_size=1000)
part = pyarrow.parquet.ParquetFile(files.open_input_file(f"{place}/n/n.parquet"))
assert part.read_row_group(97, columns=["m"]).column("m")[5].as_py() == 97_005
assert [info.base_name for info in files.get_file_info(FileSelector(place + "/a"))] == ["t.parquet"]
assert pyarrow.dataset.dataset(own + "/a/").to_table().num_rows == 3
pyarrow.dataset.write_dataset(
    arrow, own + "/a/by-year", format="parquet", partitioning=["year"], create_dir=False
)
files.delete_file(f"{place}/a/t.parquet")
""",
    "pandas": """
table.to_parquet(own + "/p/t.parquet")
assert pandas.read_parquet(own + "/p/t.parquet").equals(table)
table.to_parquet(f"{place}/p/u.parquet", filesystem=files)
with files.open_output_stream(f"{place}/p/t.csv") as file:
    table.to_csv(file, index=False)
with files.open_input_file(f"{place}/p/t.csv") as file:
    assert pandas.read_csv(file).equals(table)
table.to_csv(own + "/p/v.csv", index=False)
assert pandas.read_csv(own + "/p/v.csv").equals(table)
table.to_json(own + "/p/v.jsonl", orient="records", lines=True)
assert pandas.read_json(own + "/p/v.jsonl", lines=True).equals(table)
table.to_parquet(own + "/p/by-year", partition_cols=["year"], create_dir=False)
assert len(pandas.read_parquet(own + "/p/by-year", filters=[("year", "=", 2025)])) == 1
""",
    "polars": """
frame = polars.from_pandas(table)
frame.write_parquet(own + "/l/t.parquet")
frame.write_csv(own + "/l/t.csv")
frame.lazy().sink_parquet(own + "/l/u.parquet")
assert polars.read_parquet(own + "/l/t.parquet").equals(frame)
assert polars.read_csv(own + "/l/t.csv").equals(frame)
assert polars.scan_parquet(own + "/l/*.parquet").collect().height == 6
polars.DataFrame({"n": range(100_000)}).write_parquet(own + "/l/n.parquet", row_group_size=1000)
part = polars.scan_parquet(own + "/l/n.parquet").filter(polars.col("n") >= 99_990)
assert part.select(polars.len()).collect().item() == 10
""",
    "refused": """
for ask in (
    lambda: obstore.get(from_url(other), "secret.txt"),
    lambda: obstore.put(from_url(other), "planted", b"x"),
    lambda: list(obstore.list(from_url(other))),
    lambda: obstore.delete(from_url(other), "secret.txt"),
    lambda: files.open_input_file(other.removeprefix("s3://") + "/secret.txt").read(),
    lambda: files.open_output_stream(other.removeprefix("s3://") + "/planted").close(),
    lambda: files.get_file_info(FileSelector(other.removeprefix("s3://"))),
    lambda: files.delete_file(other.removeprefix("s3://") + "/secret.txt"),
    lambda: polars.read_parquet(other + "/secret.txt"),
    lambda: table.to_parquet(other + "/planted.parquet"),
    lambda: pandas.read_csv(other + "/secret.txt"),
    lambda: boto3.client("s3").get_object(
        Bucket=bucket, Key=other.partition(bucket + "/")[2] + "/secret.txt"
    ),
    lambda: boto3.client("s3").list_objects_v2(Bucket=bucket),
    lambda: s3fs.S3FileSystem().ls(other),
    lambda: s3fs.S3FileSystem().pipe(other + "/planted", b"x"),
    lambda: duckdb.sql(f"FROM read_text('{other}/secret.txt')").fetchall(),
    lambda: duckdb.sql(f"FROM glob('{other}/*')").fetchall(),
    lambda: duckdb.sql(f"COPY (SELECT 1) TO '{other}/planted.csv'"),
):
    try:
        ask()
    except Exception as error:
        text = f"{type(error).__name__} {error}"
        words = ("denied", "forbidden", "privileges", "403")
        assert any(word in text.lower() for word in words), text
    else:
        raise AssertionError("it was let in")
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_libraries_need_nothing_but_the_variables(
    way: str,
    store,
    objects: ObjectStore,
    place: str,
    serve_credentials: Callable[..., Any],
    tmp_path: Path,
) -> None:
    objects.put(f"{place}other/secret.txt", b"secret")
    broker = store.broker()
    served = serve_credentials(lambda: broker(read=[], write=[f"{place}own/"], name="user:ana"))
    environment = kernel_environment(
        store.endpoint, store.region, served.url, str(served.token_file)
    )
    (tmp_path / "code.py").write_text(BEGIN + WAYS[way])
    done = subprocess.run(
        [toolchain.python_environment() / "bin" / "python", "-I", tmp_path / "code.py"],
        env={
            **environment,
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "ALMANAC_PROJECT_URI": f"s3://{store.bucket}/{place}own",
            "OTHER_URI": f"s3://{store.bucket}/{place}other",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(served.asked) == {"token of-a-server"}
    assert [info.key for info in objects.list(f"{place}other")] == [f"{place}other/secret.txt"]
    assert objects.get(f"{place}other/secret.txt") == b"secret"


def test_the_variables_are_no_secret_and_name_the_store() -> None:
    variables = kernel_environment("http://127.0.0.1:1", "eu-west-1", "http://h/c", "/t")
    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert variables["AWS_ALLOW_HTTP"] == "true"
    assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & set(variables)


def test_http_is_not_allowed_where_the_store_speaks_https() -> None:
    variables = kernel_environment("https://s3.example", "eu-west-1", "https://h/c", "/t")
    assert variables["AWS_ALLOW_HTTP"] == "false"
