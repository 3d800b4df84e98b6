"""Code to be pasted: each piece of Python is run as it stands, against a real store.

R's arrow is in no registry that every machine reaches: its text is compared
with what was tried elsewhere, and run by nobody here.
"""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import brokers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import RunningStore

from hub_ext import toolchain
from hub_ext.storage.environment import kernel_environment
from lab_extension.contents.rest import snippets
from tests.storage.conftest import serve_credentials  # noqa: F401 - a fixture

NAMES = (
    "plain",
    "with space",
    "100% sure",
    "a%20b",
    "a#b",
    "a+b&c=d;e",
    "it's",
    'so "called"',
    "back\\slash",
    "prix-Δ-été",
    "e\u0301te\u0301",
    "what?x=1",
    "?versionId=3",
    "star*",
    "[1] of {2}",
    "[*",
    "~$a:b@c|<d>",
    "turned\u202eover",
    "UPPER",
)
TYPES = ("csv", "csv.gz", "tsv", "parquet", "jsonl", "json", "feather", "dta", "xlsx", "bin")

# In the notebooks' environment: writes a file of each name, runs the code for it.
RUN = """
import gzip, io, json, os, sys
import boto3, pandas

given = json.load(open(sys.argv[1]))
table = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})

def written(kind):
    file = io.BytesIO()
    if kind == "csv": table.to_csv(file, index=False)
    elif kind == "csv.gz": file.write(gzip.compress(table.to_csv(index=False).encode()))
    elif kind == "tsv": table.to_csv(file, index=False, sep="\\t")
    elif kind == "parquet": table.to_parquet(file)
    elif kind == "jsonl": table.to_json(file, orient="records", lines=True)
    elif kind == "json": table.to_json(file, orient="records")
    elif kind == "feather": table.to_feather(file)
    elif kind == "dta": table.to_stata(file, write_index=False)
    elif kind == "xlsx": table.to_excel(file, index=False)
    else: file.write(bytes(range(256)))
    return file.getvalue()

def read(data):
    if isinstance(data, bytes): return data
    if isinstance(data, list): return {name: [row[name] for row in data] for name in data[0]}
    if hasattr(data, "to_pydict"): return data.to_pydict()
    if hasattr(data, "fetchall"): data = data.df()
    if hasattr(data, "to_numpy") and hasattr(data, "iloc"): return data.to_dict("list")
    return data.to_dict(as_series=False)

client = boto3.client("s3")
body, wrong = written(given["kind"]), []
for item in given["items"]:
    client.put_object(Bucket=given["bucket"], Key=item["key"], Body=body)
for item in given["items"]:
    for snippet in item["snippets"]:
        try:
            names = {}
            exec(snippet["code"], names)
            found = read(names["data"])
            expected = body if isinstance(found, bytes) else {"a": [1, 2], "b": ["x", "y"]}
            if found != expected:
                raise AssertionError(found)
        except Exception as error:
            wrong.append((item["key"], snippet["id"], snippet["code"], repr(error)[:500]))
print(json.dumps(wrong))
"""


@pytest.fixture
def run(
    seaweedfs: RunningStore,
    serve_credentials: Callable[..., Any],  # noqa: F811
    place: str,
    tmp_path: Path,
) -> Callable[[str], list[Any]]:
    """Writes files of one type under every name, and runs the code for each; what went wrong."""
    broker = brokers.by_key(seaweedfs).broker
    hour = timedelta(hours=1)
    served = serve_credentials(
        lambda: broker.issue(write=[place], name="user:ana", ttl=hour).container_document()
    )

    def run_(kind: str) -> list[Any]:
        items = []
        for name in NAMES:
            key = f"{place}{name}.{kind}"
            found = snippets.items(f"s3://{seaweedfs.bucket}/{key}")
            python = [item for item in found if item["language"] == "python"]
            assert python
            items.append({"key": key, "snippets": python})
        given = {"bucket": seaweedfs.bucket, "kind": kind, "items": items}
        (tmp_path / "given.json").write_text(json.dumps(given))
        (tmp_path / "run.py").write_text(RUN)
        done = subprocess.run(
            [
                toolchain.python_environment() / "bin" / "python",
                *("-I", tmp_path / "run.py", tmp_path / "given.json"),
            ],
            env={
                **kernel_environment(
                    seaweedfs.endpoint, seaweedfs.region, served.url, str(served.token_file)
                ),
                "PATH": "/usr/bin:/bin",
                "HOME": "/nonexistent",
                "LANG": "C.UTF-8",
                "ALMANAC_STORE_BUCKET": seaweedfs.bucket,
            },
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        wrong: list[Any] = json.loads(done.stdout.splitlines()[-1])
        return wrong

    return run_


@pytest.mark.parametrize("kind", TYPES)
def test_each_piece_of_python_reads_the_file_whatever_its_name(
    kind: str, run: Callable[[str], list[Any]]
) -> None:
    packages = next(toolchain.python_environment().glob("lib/python3*/site-packages"))
    if kind == "xlsx" and not (packages / "openpyxl").exists():
        pytest.skip("the notebooks' environment has no openpyxl")
    assert run(kind) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("A.CSV.GZ", "csv"),
        ("a.tsv", "tsv"),
        ("a.b.parquet", "parquet"),
        ("a.ndjson", "jsonl"),
        ("a.json", "json"),
        ("a.xlsx", "excel"),
        ("a.arrow", "feather"),
        ("a.dta", "stata"),
        ("a.parquet.gz", "any"),
        ("a.png", "any"),
        ("csv", "any"),
        ("a.csv/b", "any"),
        (".csv", "csv"),
    ],
)
def test_the_type_is_told_by_the_end_of_the_name(name: str, kind: str) -> None:
    assert snippets.file_type(name) == kind


def test_which_ways_there_are() -> None:
    ways = {
        kind: [item["id"] for item in snippets.items(f"s3://b/x.{kind}")]
        for kind in ("csv", "parquet", "json", "xlsx", "feather", "bin")
    }
    assert ways == {
        "csv": ["pandas", "polars", "duckdb", "pyarrow", "r-arrow"],
        "parquet": ["pandas", "polars", "duckdb", "pyarrow", "r-arrow"],
        "json": ["pandas", "polars", "duckdb", "boto3", "r-arrow"],
        "xlsx": ["pandas"],
        "feather": ["pandas", "polars", "pyarrow", "r-arrow"],
        "bin": ["boto3", "pyarrow", "r-arrow"],
    }


def test_the_plain_case_reads_plainly() -> None:
    code = {item.id: item.code for item in snippets.snippets("s3://almanac/home/ana/gdp.csv")}
    assert code["pandas"] == (
        'import pandas\n\ndata = pandas.read_csv("s3://almanac/home/ana/gdp.csv")'
    )
    assert code["duckdb"] == (
        'import duckdb\n\ndata = duckdb.read_csv("s3://almanac/home/ana/gdp.csv")'
    )
    assert code["r-arrow"] == (
        'library(arrow)\n\ndata <- read_csv_arrow("s3://almanac/home/ana/gdp.csv")'
    )


def test_what_r_reads() -> None:
    def code(name: str) -> str:
        (found,) = [
            item.code for item in snippets.snippets(f"s3://b/{name}") if item.language == "r"
        ]
        return found.removeprefix("library(arrow)\n\n")

    assert code("it's %1.tsv") == 'data <- read_tsv_arrow("s3://b/it%27s%20%251.tsv")'
    assert code('"\\é.parquet') == 'data <- read_parquet("s3://b/%22%5C%C3%A9.parquet")'
    assert code("x.jsonl") == 'data <- read_json_arrow("s3://b/x.jsonl")'
    assert code("x.arrow") == 'data <- read_feather("s3://b/x.arrow")'
    opened = (
        'place <- FileSystem$from_uri("s3://b/x.{0}")\n'
        "file <- place$fs$OpenInputFile(place$path)\n"
        "data <- {1}"
    )
    assert code("x.json") == opened.format(
        "json", "jsonlite::fromJSON(rawToChar(as.raw(file$Read(file$GetSize()))))"
    )
    assert code("x.png") == opened.format("png", "as.raw(file$Read(file$GetSize()))")


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_whatever_the_name_code_is_code_that_names_it(name: str) -> None:
    for snippet in snippets.snippets(f"s3://bucket/folder/{name}.csv"):
        assert all(line.isprintable() for line in snippet.code.split("\n"))
        if snippet.language == "python":
            strings = [
                node.value
                for node in ast.walk(ast.parse(snippet.code))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
            named = {text.removeprefix("s3://bucket/") for text in strings}
            wanted = f"folder/{name}.csv"
            assert {wanted, quote(wanted)} & named


@pytest.mark.parametrize("name", [*NAMES, "\x01\x7f\u2028\U000e0041\u200b", '\'"""\'\\\\'])
def test_a_literal_is_the_text_and_hides_nothing(name: str) -> None:
    written = snippets.literal(name)
    assert ast.literal_eval(written) == name
    assert written.isprintable()


@pytest.mark.parametrize("uri", ["", "s3://", "s3://b", "s3://b/", "http://b/k", "/b/k", "b/k"])
def test_what_is_no_address_of_a_file_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="not the address of a file"):
        snippets.items(uri)
