"""Clients of a notebook that go on while their credentials are renewed, and DuckDB's own ways.

What each reads and writes is in `test_environment`; here each lives longer than
its credentials. Sessions of the store last 15 minutes at least, so what is told
apart are not old and expired ones: the first reach one prefix, the next another.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hub_ext import toolchain
from hub_ext.bundles.environment.equipped import equip
from hub_ext.storage.environment import kernel_environment
from hub_ext.storage.objects import ObjectStore

# Each leaves `use`, which reads x.csv of a prefix with an object made before.
MAKES = {
    "boto3": """
import boto3
client = boto3.client("s3")
def use(key):
    return client.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
""",
    "s3fs": """
import s3fs
files = s3fs.S3FileSystem()
def use(key):
    return files.cat_file(f"{bucket}/{key}").decode()
""",
    "pandas": """
import pandas
def use(key):
    return pandas.read_csv(f"s3://{bucket}/{key}").to_csv(index=False)
""",
    "obstore": """
from obstore.store import from_url
store = from_url(f"s3://{bucket}")
def use(key):
    return bytes(store.get(key).bytes()).decode()
""",
    "pyarrow": """
from pyarrow.fs import FileSystem
files, _ = FileSystem.from_uri(f"s3://{bucket}/{first}")
def use(key):
    return files.open_input_file(f"{bucket}/{key}").read().decode()
""",
    "polars": """
import polars
kinds = {"a": polars.Int64}
frames = {key: polars.scan_csv(f"s3://{bucket}/{key}", schema=kinds) for key in (first, second)}
def use(key):
    return frames[key].collect().write_csv()
""",
    "duckdb": """
import duckdb
connection = duckdb.connect()
def use(key):
    (text,), = connection.execute(f"SELECT content FROM read_text('s3://{bucket}/{key}')").fetchall()
    return text
""",
    "duckdb without a name": """
import duckdb
def use(key):
    (text,), = duckdb.sql(f"SELECT content FROM read_text('s3://{bucket}/{key}')").fetchall()
    return text
""",
    "duckdb's cursor, writing": """
import duckdb
cursor = duckdb.connect().cursor()
def use(key):
    cursor.execute(f"COPY (SELECT 1) TO 's3://{bucket}/{key}-copy.csv'")
    return "a\\n1\\n"
""",
}

CELLS = (
    """import duckdb
duckdb.sql("COPY (SELECT range AS a FROM range(3)) TO '{uri}/first.parquet'")
duckdb.sql("SELECT * FROM '{uri}/first.parquet'")""",
    """import pandas
pandas.DataFrame({{"a": [1]}}).to_csv("{uri}/pandas.csv", index=False)
pandas.read_csv("{uri}/pandas.csv")""",
    """import polars
polars.read_parquet("{uri}/first.parquet")""",
    """from pyarrow import parquet
parquet.read_table("{uri}/first.parquet", columns=["a"])""",
    """from obstore.store import from_url
store = from_url("{uri}")
store.put("obstore.bin", b"0123")
len(store.get_range("obstore.bin", start=1, length=2))""",
    """import boto3
bucket, _, prefix = "{uri}".removeprefix("s3://").partition("/")
len(boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix + "/")["Contents"])""",
    """import s3fs
s3fs.S3FileSystem().ls("{uri}")""",
)
"""Each as the first lines of a notebook; the last one shows something."""

EXECUTE = """
import json, sys
import nbformat
from nbclient import NotebookClient
cells = [nbformat.v4.new_code_cell(source) for source in json.load(sys.stdin)]
notebook = nbformat.v4.new_notebook(cells=cells)
NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
print(json.dumps([cell.outputs for cell in notebook.cells]))
"""

RENEWED = """
import os, time, pathlib
bucket, first, second = (os.environ[name] for name in ("BUCKET", "FIRST", "SECOND"))
{make}
assert use(first) == "a\\n1\\n", use(first)
try:
    use(second)
except Exception:
    pass
else:
    raise SystemExit("the first credentials reach too far")
pathlib.Path(os.environ["SWITCH"]).touch()
began = time.monotonic()
while True:
    try:
        assert use(second) == "a\\n1\\n"
        break
    except Exception:
        if time.monotonic() - began > 60:
            raise
        time.sleep(0.2)
try:
    use(first)
except Exception:
    pass
else:
    raise SystemExit("the first credentials are still in use")
"""


@pytest.fixture
def notebook(
    store, serve_credentials: Callable[..., Any], tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs code as a kernel would, with the variables of one and nothing else."""

    def run(
        code: str,
        document: Callable[[], dict[str, Any]],
        *,
        environment_folder: Path | None = None,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        folder = environment_folder or toolchain.python_environment()
        served = serve_credentials(document)
        (tmp_path / "code.py").write_text(code, encoding="utf-8")
        return subprocess.run(
            [folder / "bin" / "python", "-I", tmp_path / "code.py"],
            env={
                **kernel_environment(
                    store.endpoint, store.region, served.url, str(served.token_file)
                ),
                "PATH": "/usr/bin:/bin",
                "HOME": "/nonexistent",
                "BUCKET": store.bucket,
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    return run


def test_every_client_works_in_the_first_cell_of_a_notebook(
    store, place: str, serve_credentials: Callable[..., Any], tmp_path: Path
) -> None:
    served = serve_credentials(lambda: store.broker()(read=[], write=[place], name="user:ana"))
    uri = f"s3://{store.bucket}/{place}notebook"
    done = subprocess.run(
        [toolchain.runner_python(), "-c", EXECUTE],
        input=json.dumps([cell.format(uri=uri) for cell in CELLS]),
        env={
            **kernel_environment(store.endpoint, store.region, served.url, str(served.token_file)),
            "PATH": os.defpath,
            "HOME": str(tmp_path),
            "LANG": "C.UTF-8",
            "JUPYTER_PATH": str(toolchain.python_environment() / "share" / "jupyter"),
        },
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = [
        [(output["output_type"], output.get("name")) for output in outputs]
        for outputs in json.loads(done.stdout)
    ]
    assert shown == [[("execute_result", None)]] * len(CELLS), "and nothing warns"


@pytest.mark.parametrize("make", MAKES)
def test_what_lives_longer_than_its_credentials_goes_on(
    make: str,
    store,
    objects: ObjectStore,
    place: str,
    notebook: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    broker, switch = store.broker(), tmp_path / "switch"
    first, second = f"{place}first/", f"{place}second/"
    for prefix in (first, second):
        objects.put(f"{prefix}x.csv", b"a\n1\n")
    given: list[tuple[float, bool, dict[str, Any]]] = []

    def document() -> dict[str, Any]:
        later = switch.exists()
        # The same again for a moment: polars reads key, secret and token one
        # after another, and where the end is near each reading asks anew.
        if not given or given[-1][:2] < (time.monotonic() - 1.5, later) or given[-1][1] != later:
            issued = broker(read=[], write=[second if later else first], name="user:ana")
            expires = datetime.now(UTC) + timedelta(seconds=8)
            issued["Expiration"] = expires.strftime("%Y-%m-%dT%H:%M:%SZ")
            given.append((time.monotonic(), later, issued))
        return given[-1][2]

    done = notebook(
        RENEWED.format(make=MAKES[make]),
        document,
        FIRST=f"{first}x.csv",
        SECOND=f"{second}x.csv",
        SWITCH=str(switch),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {later for _, later, _ in given} == {False, True}


def test_duckdb_needs_no_home_and_no_environment_of_a_certain_place(
    store,
    place: str,
    notebook: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    # As a run has it: built anew, somewhere else, from what a lock names.
    ours = toolchain.python_environment()
    base = (ours / "bin" / "python").resolve()
    subprocess.run([base, "-m", "venv", "--without-pip", tmp_path / "built"], check=True)
    (packages,) = (tmp_path / "built").glob("lib/python3*/site-packages")
    for source in next(ours.glob("lib/python3*/site-packages")).glob("*duckdb*"):
        if "almanac" not in source.name:
            (packages / source.name).symlink_to(source)
    equip(tmp_path / "built")
    done = notebook(
        "import duckdb, os\n"
        "duckdb.sql(f\"COPY (SELECT 42 AS a) TO '{os.environ['URI']}/t.parquet'\")\n"
        "assert duckdb.sql(f\"FROM '{os.environ['URI']}/*.parquet'\").fetchall() == [(42,)]\n",
        lambda: store.broker()(read=[], write=[place], name="run:1"),
        environment_folder=tmp_path / "built",
        URI=f"s3://{store.bucket}/{place}d",
    )
    assert done.returncode == 0, done.stderr


def test_duckdb_is_ready_for_whichever_thread_comes_first(
    store, place: str, notebook: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = notebook(
        "import duckdb, os\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def work(number):\n"
        "    uri = f\"{os.environ['URI']}/{number}.parquet\"\n"
        "    duckdb.sql(f\"COPY (SELECT {number} AS a) TO '{uri}'\", connection=duckdb.cursor())\n"
        "    with duckdb.connect() as connection:\n"
        "        return connection.sql(f\"FROM '{uri}'\").fetchone()\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    assert list(pool.map(work, range(16))) == [(number,) for number in range(16)]\n",
        lambda: store.broker()(read=[], write=[place], name="user:ana"),
        URI=f"s3://{store.bucket}/{place}threads",
    )
    assert done.returncode == 0, done.stderr


def test_duckdb_works_without_credentials_and_says_once_why_it_has_none(
    place: str, store, notebook: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = notebook(
        "import duckdb, os\n"
        "assert duckdb.sql('SELECT 42').fetchall() == [(42,)]\n"
        "for _ in range(3):\n"
        "    assert duckdb.connect().execute('SELECT 42').fetchall() == [(42,)]\n"
        "try:\n"
        "    duckdb.sql(f\"FROM '{os.environ['URI']}/x.parquet'\")\n"
        "except duckdb.Error as error:\n"
        "    print(error)\n",
        dict,
        URI=f"s3://{store.bucket}/{place}d",
        AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:9/credentials",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("DuckDB has no credentials for the object storage") == 1
    assert "403" in done.stdout


def test_duckdb_is_credentialed_later_where_the_endpoint_did_not_answer_at_first(
    store, place: str, notebook: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    asked: list[int] = []

    def document() -> dict[str, Any]:
        asked.append(1)
        if len(asked) == 1:
            raise RuntimeError("not yet")
        return store.broker()(read=[], write=[place], name="user:ana")

    done = notebook(
        "import duckdb, os, time\n"
        "con = duckdb.connect()\n"
        "began = time.monotonic()\n"
        "while True:\n"
        "    try:\n"
        "        con.execute(f\"COPY (SELECT 42) TO '{os.environ['URI']}/t.csv'\")\n"
        "        break\n"
        "    except duckdb.Error:\n"
        "        assert time.monotonic() - began < 60\n"
        "        time.sleep(0.2)\n",
        document,
        URI=f"s3://{store.bucket}/{place}d",
    )
    assert done.returncode == 0, done.stderr


def test_duckdb_keeps_what_it_did_before_where_nothing_is_to_be_reached(
    notebook: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = notebook(
        # A database that is closed is free for others; connections in children
        # and at the end of the process do no harm; a user's own choice stays.
        "import duckdb, multiprocessing, os, subprocess, sys\n"
        "path = os.environ['DATABASE']\n"
        "con = duckdb.connect(path)\n"
        "con.execute('CREATE TABLE t AS SELECT 1 AS a')\n"
        "con.close()\n"
        "other = 'import duckdb, sys; duckdb.connect(sys.argv[1]).sql(\"INSERT INTO t FROM t\")'\n"
        "subprocess.run([sys.executable, '-c', other, path], check=True)\n"
        "with duckdb.connect(path, read_only=True) as con:\n"
        "    assert con.sql('SELECT count(*) FROM t').fetchone() == (2,)\n"
        "def child(queue):\n"
        "    queue.put(duckdb.sql('SELECT 42').fetchone())\n"
        "context = multiprocessing.get_context('fork')\n"
        "queue = context.Queue()\n"
        "process = context.Process(target=child, args=(queue,))\n"
        "process.start()\n"
        "assert queue.get(timeout=60) == (42,)\n"
        "process.join()\n"
        "con = duckdb.connect(config={'extension_directories': [os.path.dirname(path)]})\n"
        "(own,) = con.sql(\"SELECT current_setting('extension_directories')\").fetchone()\n"
        "assert own == [os.path.dirname(path)]\n"
        "locked = duckdb.connect(config={'enable_external_access': False})\n"
        "assert locked.sql('SELECT 42').fetchone() == (42,)\n"
        "assert duckdb.connect.__doc__ and duckdb.sql.__name__ == 'sql'\n",
        dict,
        AWS_ENDPOINT_URL="",
        AWS_ENDPOINT_URL_S3="",
        DATABASE=str(tmp_path / "own.db"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_python_starts_though_what_equips_it_was_removed(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    (packages,) = tmp_path.glob("lib/python3*/site-packages")
    equip(tmp_path)
    equip(tmp_path)
    assert sorted(path.name for path in packages.iterdir()) == [
        "almanac_duckdb.pth",
        "almanac_duckdb.py",
    ]
    (packages / "almanac_duckdb.py").unlink()
    done = subprocess.run(
        [tmp_path / "bin" / "python", "-c", "print(1)"],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_the_lines_in_the_documentation_run_as_they_are(
    store,
    place: str,
    notebook: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    page = toolchain.config_folder().parent / "docs" / "how-to" / "object-storage.md"
    first, own = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    # As DuckDB has it in an environment that we have not equipped.
    ours = toolchain.python_environment() / "share" / "almanac" / "duckdb"
    shutil.copytree(ours, tmp_path / ".duckdb" / "extensions")
    document = store.broker()(read=[], write=[place], name="user:ana")
    variables = {"ALMANAC_PROJECT_URI": f"s3://{store.bucket}/{place.rstrip('/')}"}
    done = notebook(first, lambda: document, **variables)
    assert done.returncode == 0, done.stderr
    done = notebook(
        "import sys\n"
        "sys.meta_path = [one for one in sys.meta_path if 'duckdb' not in type(one).__module__]\n"
        f"{own}\n"
        "home = os.environ['ALMANAC_PROJECT_URI']\n"
        "assert connection.sql(f\"FROM '{home}/*.parquet'\").fetchall() == [(42,)]\n"
        "(secrets,) = connection.sql('SELECT list(name) FROM duckdb_secrets()').fetchone()\n"
        "assert 'almanac_storage' not in secrets\n",
        lambda: document,
        HOME=str(tmp_path),
        **variables,
    )
    assert done.returncode == 0, done.stderr


def test_a_duckdb_that_is_not_known_is_left_alone(
    notebook: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "duckdb.py").write_text("__version__ = '1.1.3'\nsql = default_connection = 'own'\n")
    done = notebook(
        "import os, sys\n"
        "sys.path.insert(0, os.environ['FOLDER'])\n"
        "import duckdb\n"
        "assert duckdb.sql == 'own' and 'almanac_duckdb' in sys.modules\n",
        dict,
        FOLDER=str(tmp_path),
    )
    assert (done.returncode, done.stderr) == (0, "")
