"""Every client in the first cell of a notebook, on a running Almanac: in a server and in a job."""

from __future__ import annotations

import uuid

import pytest
from trees import Tree

from hub_ext.client import JobsClient
from hub_ext.jobs.schemas import FINISHED, RunState
from tests.lab_extension.contents.roots.test_in_tree import Analyst, eventually

pytestmark = pytest.mark.tree

# Nothing is set up, and each client reads what another has written.
CELLS = (
    """
import duckdb, os
place = os.environ["ALMANAC_PROJECT_URI"] + "/clients"
duckdb.sql(f"COPY (SELECT range AS a FROM range(3)) TO '{place}/t.parquet'")
print("duckdb", duckdb.sql(f"SELECT sum(a) FROM '{place}/*.parquet'").fetchone()[0])
""",
    """
import pandas
pandas.read_parquet(place + "/t.parquet").to_csv(place + "/t.csv", index=False)
print("pandas", pandas.read_csv(place + "/t.csv").a.sum())
""",
    """
import polars
print("polars", polars.scan_csv(place + "/t.csv").select(polars.col("a").sum()).collect().item())
""",
    """
from pyarrow import compute, parquet
table = parquet.read_table(place + "/t.parquet", columns=["a"])
print("pyarrow", compute.sum(table["a"]))
""",
    """
from obstore.store import from_url
store = from_url(place)
store.put("x.txt", b"0123")
print("obstore", len(store.get_range("x.txt", start=0, length=3)))
""",
    """
import boto3
bucket, _, prefix = place.removeprefix("s3://").partition("/")
client = boto3.client("s3")
body = client.get_object(Bucket=bucket, Key=prefix + "/x.txt", Range="bytes=1-3")["Body"]
print("boto3", len(body.read()))
""",
    """
import s3fs
print("s3fs", len(s3fs.S3FileSystem().ls(place)))
""",
)
PRINTED = [
    f"{name} 3" for name in ("duckdb", "pandas", "polars", "pyarrow", "obstore", "boto3", "s3fs")
]


@pytest.fixture(scope="module")
def ana(tree: Tree):  # type: ignore[no-untyped-def]
    with Analyst(tree) as person:
        yield person
        for session in person.http.get(f"{person.server}api/sessions").json():
            person.write("DELETE", f"{person.server}api/sessions/{session['id']}")
        for path in ("home/clients", "work/clients.ipynb"):
            person.write("DELETE", f"{person.server}api/contents/{path}")


def test_in_a_new_notebook(ana: Analyst) -> None:
    ana.save("work/clients.ipynb", *CELLS)
    kernel = ana.open("work/clients.ipynb")
    assert "".join(ana.run(kernel, cell) for cell in CELLS).splitlines() == PRINTED


def test_in_a_job(ana: Analyst, tree: Tree) -> None:
    ana.save("work/clients.ipynb", *CELLS)
    job = ana.productionize(
        {"path": "work/clients.ipynb", "name": "Clients"}, submission=uuid.uuid4().hex
    )
    with JobsClient(f"{tree.url}/services/jobs", ana.make_token("clients")) as jobs:
        run = eventually(lambda: next(iter(jobs.runs(job["id"])), None))
        run = eventually(
            lambda: found if (found := jobs.run_of(run.id)).state in FINISHED else None,
            seconds=150,
        )
        executed = jobs.file(run.id, "notebook.ipynb").decode()
    assert run.state is RunState.SUCCEEDED, executed
    for line in PRINTED:
        assert line in executed
