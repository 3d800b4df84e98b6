"""Code that reads a file of the object storage, to be pasted into a notebook.

Pure: an address in, text out. What is written here runs as it stands in
Almanac's notebooks, where clients find the store and their credentials by
themselves; elsewhere the same code needs those in its environment.

A key may hold any character, and clients differ in what they take literally
(each case was tried with each client, see the tests):

========  ===========================================================
pandas    takes addresses as they are, but Parquet goes by way of PyArrow
polars    takes them as they are, but for wildcards
DuckDB    the same, and reads ``?`` as the start of parameters
PyArrow   wants them percent-encoded, and so does R's arrow
boto3     takes bucket and key apart, as they are
========  ===========================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from urllib.parse import quote

_WILD = re.compile(r"[*?\[\\]")
"""What polars or DuckDB take for a pattern, or for anything but itself."""
_ENCODED = re.compile(r"[%#?]")
"""What an address that is not percent-encoded would be misread for."""
_VERSION = "?versionId="
"""What s3fs, by which pandas reads, takes for the end of the key."""
_TYPES = (
    (r"csv(\.gz)?", "csv"),
    (r"(tsv|tab)(\.gz)?", "tsv"),
    (r"parquet|parq|pq", "parquet"),
    (r"jsonl|ndjson", "jsonl"),
    (r"json", "json"),
    (r"xlsx|xlsm", "excel"),
    (r"feather|arrow|ipc", "feather"),
    (r"dta", "stata"),
)


@dataclass(frozen=True, slots=True)
class Snippet:
    """Code for one way to read a file.

    Attributes:
        id: stable: ``pandas``, ``polars``, ``duckdb``, ``pyarrow``, ``boto3``, ``r-arrow``.
        label: for people.
        language: ``python`` or ``r``.
        code: without a line break at its end; it leaves what it read in ``data``.
    """

    id: str
    label: str
    language: str
    code: str


def items(uri: str) -> list[dict[str, str]]:
    """`snippets`, as the REST API gives them."""
    return [asdict(snippet) for snippet in snippets(uri)]


def snippets(uri: str) -> list[Snippet]:
    """The ways to read a file; which there are follows from its type.

    Args:
        uri: ``s3://<bucket>/<key>``, nothing of it encoded.

    Raises:
        ValueError: it is no such address.
    """
    address = _Address.parse(uri)
    return list(_MAKERS[file_type(address.key)](address))


def file_type(key: str) -> str:
    """What a file holds: a key of `_MAKERS`, ``any`` where the name does not say.

    By the end of the name alone, as the clients themselves do.
    """
    name = key.rpartition("/")[2].lower()
    for pattern, kind in _TYPES:
        if re.search(rf"\.({pattern})\Z", name):
            return kind
    return "any"


@dataclass(frozen=True)
class _Address:
    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> _Address:
        bucket, slash, key = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or not bucket or not slash or not key:
            raise ValueError(f"{uri!r} is not the address of a file: s3://<bucket>/<key>")
        return cls(bucket, key)

    @property
    def raw(self) -> str:
        return literal(f"s3://{self.bucket}/{self.key}")

    @property
    def encoded(self) -> str:
        """Plain ASCII without a quote or a backslash: the same literal in Python and R."""
        return literal(f"s3://{self.bucket}/{quote(self.key)}")

    @property
    def careful(self) -> str:
        """As it is where it is understood as it is, since that reads better."""
        return self.encoded if _ENCODED.search(self.key) else self.raw

    @property
    def wild(self) -> bool:
        return bool(_WILD.search(self.key))

    @property
    def packed(self) -> bool:
        return self.key.lower().endswith(".gz")


def literal(text: str) -> str:
    """``text`` as Python writes it, in double quotes; what cannot be seen is escaped.

    JSON's escapes are Python's. Marks that turn the direction of writing, as
    all that prints nothing, would make a line read other than it runs.
    """
    written = json.dumps(text, ensure_ascii=False)
    return "".join(
        character
        if character.isprintable()
        else f"\\u{ord(character):04x}"
        if ord(character) < 0x10000
        else f"\\U{ord(character):08x}"
        for character in written
    )


def _csv(address: _Address, separator: str = "") -> Iterator[Snippet]:
    given = f', sep="{separator}"' if separator else ""
    yield _pandas(address, "read_csv", given, packed=address.packed)
    given = f', separator="{separator}"' if separator else ""
    yield _polars(f"polars.read_csv({address.raw}{given}{_literally(address)})")
    given = f', sep="{separator}"' if separator else ""
    # It would go by the name's end, and "?" hides that from it.
    given += ', compression="gzip"' if address.packed and address.wild else ""
    yield _duckdb(address, f"read_csv({address.raw}{given})")
    given = f', parse_options=csv.ParseOptions(delimiter="{separator}")' if separator else ""
    yield _pyarrow(
        "from pyarrow import csv",
        address,
        f"csv.read_csv(files.open_input_stream(path){given})",
    )
    yield _r(f"{'read_tsv_arrow' if separator else 'read_csv_arrow'}({address.encoded})")


def _tsv(address: _Address) -> Iterator[Snippet]:
    return _csv(address, r"\t")


def _parquet(address: _Address) -> Iterator[Snippet]:
    yield _python("pandas", "pandas", f"pandas.read_parquet({address.careful})")
    yield _polars(f"polars.read_parquet({address.raw}{_literally(address)})")
    yield _duckdb(address, f"read_parquet({address.raw})")
    yield _pyarrow(
        "from pyarrow import parquet", address, "parquet.read_table(path, filesystem=files)"
    )
    yield _r(f"read_parquet({address.encoded})")


def _jsonl(address: _Address) -> Iterator[Snippet]:
    yield _pandas(address, "read_json", ", lines=True")
    if address.wild:  # polars knows no way here to take a name literally
        yield _polars("polars.read_ndjson(body.read())", before=_body(address))
    else:
        yield _polars(f"polars.read_ndjson({address.raw})")
    yield _duckdb(address, f"read_json({address.raw})")
    yield _pyarrow(
        "from pyarrow import json", address, "json.read_json(files.open_input_stream(path))"
    )
    yield _r(f"read_json_arrow({address.encoded})")


def _json(address: _Address) -> Iterator[Snippet]:
    yield _pandas(address, "read_json")
    yield _polars("polars.read_json(body.read())", before=_body(address))
    yield _duckdb(address, f"read_json({address.raw})")
    yield _boto3(address, "json.loads(body.read())", also="import json\n\n")
    yield _r_bytes(address, "jsonlite::fromJSON(rawToChar(as.raw({})))")


def _excel(address: _Address) -> Iterator[Snippet]:
    yield _pandas(address, "read_excel")


def _feather(address: _Address) -> Iterator[Snippet]:
    yield _pandas(address, "read_feather")
    yield _polars(
        f"polars.scan_ipc({address.raw}, glob=False).collect()"
        if address.wild
        else f"polars.read_ipc({address.raw})"
    )
    arrow = "feather.read_table(files.open_input_file(path))"
    yield _pyarrow("from pyarrow import feather", address, arrow)
    yield _r(f"read_feather({address.encoded})")


def _stata(address: _Address) -> Iterator[Snippet]:
    yield _pandas(address, "read_stata")


def _any(address: _Address) -> Iterator[Snippet]:
    yield _boto3(address, "body.read()")
    yield _pyarrow("", address, "files.open_input_stream(path).read()")
    yield _r_bytes(address, "as.raw({})")


_MAKERS: dict[str, Callable[[_Address], Iterator[Snippet]]] = {
    "csv": _csv,
    "tsv": _tsv,
    "parquet": _parquet,
    "jsonl": _jsonl,
    "json": _json,
    "excel": _excel,
    "feather": _feather,
    "stata": _stata,
    "any": _any,
}


def _literally(address: _Address) -> str:
    return ", glob=False" if address.wild else ""


def _body(address: _Address) -> str:
    place = f"Bucket={literal(address.bucket)}, Key={literal(address.key)}"
    return f'body = boto3.client("s3").get_object({place})["Body"]\n'


def _pandas(address: _Address, function: str, given: str = "", *, packed: bool = False) -> Snippet:
    if _VERSION not in address.key:
        return _python("pandas", "pandas", f"pandas.{function}({address.raw}{given})")
    given += ', compression="gzip"' if packed else ""
    return _python(
        "pandas",
        "pandas",
        f"pandas.{function}(io.BytesIO(body.read()){given})",
        before=_body(address),
        also="import io\n\nimport boto3\n",
    )


def _polars(read: str, *, before: str = "") -> Snippet:
    also = "import boto3\n" if before else ""
    return _python("polars", "Polars", read, before=before, also=also)


def _python(module: str, label: str, read: str, *, before: str = "", also: str = "") -> Snippet:
    code = f"{also}import {module}\n\n{before}data = {read}"
    return Snippet(module, label, "python", code)


def _duckdb(address: _Address, read: str) -> Snippet:
    if address.wild:
        # Else a pattern, or parameters; set for a connection of its own, since
        # it would take the wildcards from everybody's.
        code = (
            "connection = duckdb.connect()\n"
            'connection.execute("SET s3_url_compatibility_mode = true")\n'
            f"data = connection.{read}"
        )
    else:
        code = f"data = duckdb.{read}"
    return Snippet("duckdb", "DuckDB", "python", f"import duckdb\n\n{code}")


def _pyarrow(imports: str, address: _Address, read: str) -> Snippet:
    lines = [
        *([imports] if imports else []),
        "from pyarrow.fs import FileSystem",
        "",
        f"files, path = FileSystem.from_uri({address.encoded})",
        f"data = {read}",
    ]
    return Snippet("pyarrow", "PyArrow", "python", "\n".join(lines))


def _boto3(address: _Address, read: str, *, also: str = "") -> Snippet:
    return _python("boto3", "boto3", read, before=_body(address), also=also)


def _r(read: str) -> Snippet:
    return Snippet("r-arrow", "R (arrow)", "r", f"library(arrow)\n\ndata <- {read}")


def _r_bytes(address: _Address, read: str) -> Snippet:
    lines = [
        "library(arrow)",
        "",
        f"place <- FileSystem$from_uri({address.encoded})",
        "file <- place$fs$OpenInputFile(place$path)",
        "data <- " + read.format("file$Read(file$GetSize())"),
    ]
    return Snippet("r-arrow", "R (arrow)", "r", "\n".join(lines))
