"""An HTTP server that answers as it is told: faults that no real object store gives on demand."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What is answered; ``cut`` closes the connection half-way through the body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass
class FakeStore:
    """``answer`` decides on each request; None hangs up without a word."""

    endpoint: str
    asked: list[Request] = field(default_factory=list)
    answer: Callable[[Request], Answer | None] = lambda _: Answer(503)

    def methods(self) -> list[str]:
        return [request.method for request in self.asked]


def error(status: int, code: str, **headers: str) -> Answer:
    """An error as S3 words it; underscores in names of headers become hyphens."""
    body = f"<Error><Code>{code}</Code><Message>said so</Message></Error>".encode()
    return Answer(status, body, {name.replace("_", "-"): text for name, text in headers.items()})


def found(body: bytes = b"", etag: str = "e1", **headers: str) -> Answer:
    """The answer of GET and HEAD about an object."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    modified = "Wed, 25 Nov 2026 02:26:13 GMT"
    return Answer(200, body, {"etag": f'"{etag}"', "last-modified": modified, **named})


def listing(*keys: str, prefixes: tuple[str, ...] = ()) -> Answer:
    """One page of a listing; keys as they shall stand in the XML."""
    contents = "".join(
        f"<Contents><Key>{key}</Key><ETag>&#34;e&#34;</ETag><Size>1</Size>"
        "<LastModified>2026-11-25T02:26:13Z</LastModified></Contents>"
        for key in keys
    )
    common = "".join(f"<CommonPrefixes><Prefix>{p}</Prefix></CommonPrefixes>" for p in prefixes)
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult '
        'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>'
        f"<IsTruncated>false</IsTruncated>{contents}{common}</ListBucketResult>"
    )
    return Answer(200, body.encode())


@contextlib.contextmanager
def fake_store(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[FakeStore]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            told.asked.append(request)
            answer = told.answer(request)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if "content-length" not in {name.lower() for name in answer.headers}:
                self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: len(answer.body) // (2 if answer.cut else 1)])
            if answer.cut:
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = respond

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    told = FakeStore(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
