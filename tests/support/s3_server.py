"""An S3 on the loopback (moto's server), which counts requests and can fail."""

from __future__ import annotations

import logging
import re
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

BUCKET = "bucket"
KEY = SECRET = "any will do"  # noqa: S105  # moto asks for something


class S3:
    """The server; `environment` leads a client to it.

    Of every request `before` is asked for a status: None lets it pass, 503 and the like are answered at once.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.requests: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.before: Callable[[str, str], int | None] = lambda _method, _path: None

    def file_system(self) -> Any:
        """Return a fresh file system of this process that caches nothing."""
        import s3fs  # noqa: PLC0415  # late, as a user's program has it

        return s3fs.S3FileSystem(
            endpoint_url=self.url, key=KEY, secret=SECRET, skip_instance_cache=True, use_listings_cache=False
        )

    def put(self, files: Mapping[str, bytes]) -> None:
        """Store objects by their names in the bucket."""
        store = self.file_system()
        for name, data in files.items():
            store.pipe_file(f"{BUCKET}/{name}", data)

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of all objects below `prefix`, without it."""
        found = self.file_system().find(f"{BUCKET}/{prefix}")
        return sorted(name.removeprefix(f"{BUCKET}/{prefix}").lstrip("/") for name in found)

    def files(self, prefix: str) -> dict[str, bytes]:
        """Return all objects below `prefix` by their names."""
        store = self.file_system()
        return {name: store.cat_file(f"{BUCKET}/{prefix}/{name}") for name in self.names(prefix)}

    def uploads(self) -> list[str]:
        """Return the uploads that were begun and not ended."""
        return [upload["Key"] for upload in self.file_system().list_multipart_uploads(BUCKET)]


@contextmanager
def s3_server() -> Iterator[S3]:
    """Serve an S3 with one bucket while the context lasts."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  # two seconds

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = S3(f"http://{host}:{port}")
    application = server._server.app

    def counted(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        # Copies are told apart by their header, parts and ends of uploads by their query.
        kind = "COPY" if environ.get("HTTP_X_AMZ_COPY_SOURCE") else method
        kind = (
            "LIST" if method == "GET" and re.search(r"list-type|prefix=", environ["QUERY_STRING"]) else kind
        )
        found.requests[kind] += 1
        status = found.before(method, path)
        if status is not None:
            start_response(f"{status} because the test says so", [("Content-Length", "0")])
            return [b""]
        return application(environ, start_response)  # type: ignore[no-any-return]

    server._server.app = counted
    try:
        if not found.file_system().exists(BUCKET):  # buckets are the process's, whichever server
            found.file_system().mkdir(BUCKET)
        yield found
    finally:
        server.stop()
