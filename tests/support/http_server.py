"""A server of files by HTTP on the loopback, with ranges or without, that can fail."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class FileServer(ThreadingHTTPServer):
    """Serves `files` by name; `requests` are the ranges asked for, "" where all was, HEAD left out.

    `etags` may be changed on the way; after `cut_after` bytes, if that is not None, an answer breaks off.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], *, with_ranges: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.with_ranges = with_ranges
        self.requests: list[str] = []
        self.etags: dict[str, str] = {}
        self.cut_after: int | None = None

    @property
    def url(self) -> str:
        """The address that names of files follow."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Tell size and version of a file."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """Send a file or, if the server knows ranges, a part of it."""
        self.server.requests.append(self.headers.get("Range", ""))
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        name = self.path.lstrip("/")
        body = self.server.files.get(name)
        if body is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        status, total = HTTPStatus.OK, len(body)
        if wanted and self.server.with_ranges:
            begin, end = int(wanted[1]), min(int(wanted[2]) + 1, total)
            if begin >= total:
                self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                return
            status, body = HTTPStatus.PARTIAL_CONTENT, body[begin:end]
        self.send_response(status)
        if status is HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{total}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{self.server.etags.get(name, "1")}"')
        self.end_headers()
        if not with_body:
            return
        cut = self.server.cut_after
        self.wfile.write(body[:cut])
        if cut is not None and cut < len(body):
            self.close_connection = True


@contextmanager
def http_server(files: dict[str, bytes], *, with_ranges: bool) -> Iterator[FileServer]:
    """Serve `files` while the context lasts."""
    server = FileServer(files, with_ranges=with_ranges)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
