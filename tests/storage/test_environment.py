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
import os

import obstore, pandas, polars, pyarrow.dataset, pyarrow.parquet
from obstore.store import from_url
from pyarrow.fs import FileSelector, FileSystem

own, other = os.environ["ALMANAC_PROJECT_URI"], os.environ["OTHER_URI"]
files, place = FileSystem.from_uri(own)
table = pandas.DataFrame({"year": [2024, 2025, 2026], "gdp": [1.5, 2.5, 3.5]})
"""

WAYS = {
    "obstore": """
store = from_url(own)
obstore.put(store, "o/hello.txt", b"hello")
assert bytes(obstore.get(store, "o/hello.txt").bytes()) == b"hello"
assert [meta["path"] for batch in obstore.list(store, "o") for meta in batch] == ["o/hello.txt"]
""",
    "pyarrow": """
arrow = pyarrow.Table.from_pandas(table)
pyarrow.parquet.write_table(arrow, f"{place}/a/t.parquet", filesystem=files)
assert pyarrow.parquet.read_table(own + "/a/t.parquet").num_rows == 3
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
""",
    "polars": """
frame = polars.from_pandas(table)
frame.write_parquet(own + "/l/t.parquet")
frame.write_csv(own + "/l/t.csv")
frame.lazy().sink_parquet(own + "/l/u.parquet")
assert polars.read_parquet(own + "/l/t.parquet").equals(frame)
assert polars.read_csv(own + "/l/t.csv").equals(frame)
assert polars.scan_parquet(own + "/l/*.parquet").collect().height == 6
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
):
    try:
        ask()
    except Exception as error:
        text = f"{type(error).__name__} {error}"
        assert "denied" in text.lower() or "privileges" in text or "403" in text, text
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
