"""A download ends with the very bytes that were promised, or with one error and nothing under the name."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from pipeline import download as module
from pipeline.download import Patience, RemoteFile, download, is_present
from pipeline.errors import BusyError, ChecksumError, DiskError, DownloadError, OptionError, TargetExistsError
from pipeline.partial import partial_path, written_aside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONTENT = b"".join(hashlib.sha256(str(index).encode()).digest() for index in range(32_000))
PATIENCE = Patience(num_attempts=3, first_pause_seconds=0.001, timeout_seconds=5.0)


def remote_of(content: bytes) -> RemoteFile:
    """Return the expectation that `content` fulfils."""
    return RemoteFile(name="data.gz", num_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


REMOTE = remote_of(CONTENT)


@dataclass
class Server:
    """A scripted file server: what it has, how it behaves, what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    etag: str = '"v1"'
    last_modified: str = ""
    knows_ranges: bool = True
    break_after: list[int] = field(
        default_factory=list
    )  # bytes of the body of each answer in turn, then whole
    stall_after: int | None = None  # bytes after which it says no more until the client leaves
    status: list[int] = field(default_factory=list)  # of each answer in turn, then as usual
    content_range: str = ""
    before_answer: Callable[[Server], None] | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    leaving: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on the loopback interface, gone after the test."""
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name is http.server's
            answer(self, state)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{http_server.server_port}/data.gz"
    yield state
    state.leaving.set()
    http_server.shutdown()
    thread.join()
    http_server.server_close()


def answer(handler: http.server.BaseHTTPRequestHandler, state: Server) -> None:
    """Answer one request as `state` says."""
    state.asked.append(dict(handler.headers))
    if state.before_answer is not None:
        state.before_answer(state)
    if state.status and (status := state.status.pop(0)) != 200:
        handler.send_error(status)
        return
    begin = asked_begin(handler, state)
    if begin > 0 and begin >= len(state.content):
        handler.send_error(416)
        return
    body = state.content[begin:]
    limit = state.break_after.pop(0) if state.break_after else len(body)  # now: the client waits for headers
    handler.send_response(206 if begin else 200)
    if begin:
        usual = f"bytes {begin}-{len(state.content) - 1}/{len(state.content)}"
        handler.send_header("Content-Range", state.content_range or usual)
    for name, value in (("ETag", state.etag), ("Last-Modified", state.last_modified)):
        if value:
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if state.stall_after is not None:
        handler.wfile.write(body[: state.stall_after])
        state.leaving.wait(10)
    else:
        handler.wfile.write(body[:limit])


def asked_begin(handler: http.server.BaseHTTPRequestHandler, state: Server) -> int:
    """Return the offset that is asked for, if ranges are known and the file is still the same."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    same = handler.headers.get("If-Range") in {state.etag or None, state.last_modified or None}
    return int(asked[1]) if asked and same and state.knows_ranges else 0


class Recorder:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.stages: list[list[object]] = []
        self.is_open = False

    def start(self, stage: str, *, total: int | None, unit: str) -> None:
        """Note the stage."""
        assert not self.is_open
        self.is_open = True
        self.stages.append([stage, total, unit, 0])

    def advance(self, amount: int, *, records: int = 0) -> None:  # noqa: ARG002  # the protocol's
        """Add to the stage."""
        assert self.is_open
        assert isinstance(self.stages[-1][3], int)
        self.stages[-1][3] += amount

    def finish(self, result: str = "") -> None:  # noqa: ARG002  # the protocol's
        """Note the end."""
        assert self.is_open
        self.is_open = False


def leave_partial(server: Server, dest: Path, *, num_bytes: int) -> None:
    """Break off a download so that `num_bytes` of it stay beside `dest`."""
    server.break_after = [num_bytes]
    with pytest.raises(DownloadError):
        download(REMOTE, server.url, dest, patience=Patience(num_attempts=1, first_pause_seconds=0.0))
    assert partial_path(dest).stat().st_size == num_bytes


def names(folder: Path) -> list[str]:
    """Return what is in the folder."""
    return sorted(path.name for path in folder.iterdir())


def test_whole_file(server: Server, tmp_path: Path) -> None:
    """A download without trouble asks once and leaves the file and nothing else, in a folder it made."""
    dest = tmp_path / "new" / "data.gz"
    progress = Recorder()
    assert download(REMOTE, server.url, dest, patience=PATIENCE, progress=progress) == 0
    assert dest.read_bytes() == CONTENT
    assert names(dest.parent) == ["data.gz"]
    assert len(server.asked) == 1
    assert "Range" not in server.asked[0]
    num_bytes = len(CONTENT)
    assert progress.stages == [
        ["downloading", num_bytes, "bytes", num_bytes],
        ["checking", num_bytes, "bytes", num_bytes],
    ]
    assert not progress.is_open


def test_continues_after_breaking_off_once(server: Server, tmp_path: Path) -> None:
    """When the connection breaks midway, only what is missing is asked for, on condition of the same ETag."""
    server.break_after = [400_000]
    download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE)
    assert (tmp_path / "data.gz").read_bytes() == CONTENT
    assert [asked.get("Range") for asked in server.asked] == [None, "bytes=400000-"]
    assert server.asked[1]["If-Range"] == '"v1"'


def test_gives_up_after_breaking_off_repeatedly(server: Server, tmp_path: Path) -> None:
    """A server that breaks off every time is given up, with what it sent kept for the next call."""
    server.break_after = [100_000] * 9
    with pytest.raises(
        DownloadError, match=r"gave up after 3 attempts: .* broke off after 300,000 of 1,024,000"
    ) as caught:
        download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE)
    assert "again" in caught.value.hint
    assert caught.value.path == server.url
    assert names(tmp_path) == ["data.gz.partial", "data.gz.partial.json"]
    server.break_after = []
    assert download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE) == 300_000
    assert (tmp_path / "data.gz").read_bytes() == CONTENT
    assert names(tmp_path) == ["data.gz"]


def test_progress_renews_patience(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as every attempt brings enough, there may be more attempts than patience has."""
    monkeypatch.setattr(module, "_ENOUGH_BYTES", 100_000)
    server.break_after = [100_000] * 9
    download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE)
    assert len(server.asked) == 10
    assert (tmp_path / "data.gz").read_bytes() == CONTENT


def test_restarts_without_end_are_no_progress(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that knows no ranges and always breaks off is given up, though each attempt brings much."""
    monkeypatch.setattr(module, "_ENOUGH_BYTES", 100_000)
    server.knows_ranges = False
    server.break_after = [500_000] * 99
    with pytest.raises(DownloadError):
        download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE)
    assert len(server.asked) == PATIENCE.num_attempts


def test_ranges_ignored(server: Server, tmp_path: Path) -> None:
    """A server that answers a range with the whole file gets its bytes taken from the first on."""
    leave_partial(server, tmp_path / "data.gz", num_bytes=300_000)
    server.knows_ranges = False
    progress = Recorder()
    assert download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE, progress=progress) == 0
    assert (tmp_path / "data.gz").read_bytes() == CONTENT
    assert [stage[3] for stage in progress.stages] == [300_000, len(CONTENT), len(CONTENT)]


def test_continues_in_a_later_call(server: Server, tmp_path: Path) -> None:
    """A later call continues, tells how much was there, and counts it as progress."""
    leave_partial(server, tmp_path / "data.gz", num_bytes=300_000)
    progress = Recorder()
    assert download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE, progress=progress) == 300_000
    assert (tmp_path / "data.gz").read_bytes() == CONTENT
    assert [stage[3] for stage in progress.stages] == [len(CONTENT), len(CONTENT)]


def test_remote_change_between_calls_restarts(server: Server, tmp_path: Path) -> None:
    """When the remote file became another one meanwhile, no byte of the old one is kept."""
    leave_partial(server, tmp_path / "data.gz", num_bytes=300_000)
    server.content, server.etag = CONTENT[::-1], '"v2"'
    assert download(remote_of(CONTENT[::-1]), server.url, tmp_path / "data.gz", patience=PATIENCE) == 0
    assert (tmp_path / "data.gz").read_bytes() == CONTENT[::-1]


def test_remote_change_during_a_call_restarts(server: Server, tmp_path: Path) -> None:
    """When the remote file changes between two attempts, and breaks off again, the new one is continued."""

    def change(state: Server) -> None:
        if len(state.asked) == 2:
            state.content, state.etag = CONTENT[::-1], '"v2"'

    server.before_answer = change
    server.break_after = [400_000, 500_000]
    download(remote_of(CONTENT[::-1]), server.url, tmp_path / "data.gz", patience=PATIENCE)
    assert (tmp_path / "data.gz").read_bytes() == CONTENT[::-1]
    assert [asked.get("If-Range") for asked in server.asked] == [None, '"v1"', '"v2"']


def test_last_modified_serves_where_no_strong_etag_is(server: Server, tmp_path: Path) -> None:
    """A weak ETag must not guard a range: the date does."""
    server.etag, server.last_modified = 'W/"v1"', "Thu, 01 Jan 2015 00:00:00 GMT"
    leave_partial(server, tmp_path / "data.gz", num_bytes=300_000)
    assert download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE) == 300_000
    assert server.asked[-1]["If-Range"] == server.last_modified


def test_without_validator_nothing_is_continued(server: Server, tmp_path: Path) -> None:
    """Bytes of a file that cannot be recognized again are dropped, in a later call and in the same."""
    server.etag = ""
    leave_partial(server, tmp_path / "data.gz", num_bytes=300_000)
    server.break_after = [300_000]
    assert download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE) == 0
    assert (tmp_path / "data.gz").read_bytes() == CONTENT
    assert not any("Range" in asked for asked in server.asked)


@pytest.mark.parametrize("note", ["", "[]", '{"url": "elsewhere", "validator": "\\"v1\\""}'])
def test_useless_note_beside_the_partial_file(server: Server, tmp_path: Path, note: str) -> None:
    """A note that is damaged or about another address is as good as none."""
    leave_partial(server, tmp_path / "data.gz", num_bytes=300_000)
    (tmp_path / "data.gz.partial.json").write_text(note, encoding="utf-8")
    assert download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE) == 0
    assert (tmp_path / "data.gz").read_bytes() == CONTENT


def test_range_not_satisfiable_restarts(server: Server, tmp_path: Path) -> None:
    """After a 416 the download begins anew."""
    leave_partial(server, tmp_path / "data.gz", num_bytes=300_000)
    server.status = [416]
    assert download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE) == 0
    assert (tmp_path / "data.gz").read_bytes() == CONTENT


def test_other_range_than_asked_restarts(server: Server, tmp_path: Path) -> None:
    """A 206 whose Content-Range is not the asked one is not appended."""
    leave_partial(server, tmp_path / "data.gz", num_bytes=300_000)
    server.content_range = f"bytes 299999-{len(CONTENT) - 1}/{len(CONTENT)}"
    assert download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE) == 0
    assert (tmp_path / "data.gz").read_bytes() == CONTENT


def test_complete_partial_file_needs_no_request(server: Server, tmp_path: Path) -> None:
    """All bytes that a process killed before the rename left are verified and published without a request."""
    partial_path(tmp_path / "data.gz").write_bytes(CONTENT)
    note = {"url": server.url, "validator": server.etag}
    (tmp_path / "data.gz.partial.json").write_text(json.dumps(note), encoding="utf-8")
    assert download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE) == len(CONTENT)
    assert server.asked == []
    assert names(tmp_path) == ["data.gz"]


def test_wrong_bytes(server: Server, tmp_path: Path) -> None:
    """Bytes of the right number with another checksum are refused and removed."""
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(ChecksumError, match=f"expected {REMOTE.sha256}") as caught:
        download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE)
    assert caught.value.hint
    assert names(tmp_path) == []


def test_damaged_partial_file(server: Server, tmp_path: Path) -> None:
    """A partial file that was damaged on the disk ends in a checksum error; the next call is clean."""
    leave_partial(server, tmp_path / "data.gz", num_bytes=300_000)
    partial_path(tmp_path / "data.gz").write_bytes(bytes(300_000))
    with pytest.raises(ChecksumError):
        download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE)
    download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE)
    assert (tmp_path / "data.gz").read_bytes() == CONTENT


def test_wrong_size_is_refused_before_the_body(server: Server, tmp_path: Path) -> None:
    """A file of another size is refused by its headers alone, whole or continued."""
    server.content = CONTENT + b"?"
    with pytest.raises(ChecksumError, match=r"offers 1,024,001 bytes, expected 1,024,000"):
        download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE)
    server.content = CONTENT
    leave_partial(server, tmp_path / "data.gz", num_bytes=300_000)
    server.content = CONTENT + b"?"
    with pytest.raises(ChecksumError, match=r"offers 1,024,001 bytes"):
        download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE)
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [403, 404, 410])
def test_refusal_is_final(server: Server, tmp_path: Path, status: int) -> None:
    """A server that says no is asked once; nothing is left behind."""
    server.status = [status]
    with pytest.raises(DownloadError, match=f"the server answered {status}") as caught:
        download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE)
    assert caught.value.hint
    assert len(server.asked) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_trouble_is_waited_for(server: Server, tmp_path: Path, status: int) -> None:
    """A server that is busy is asked again."""
    server.status = [status, status]
    download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE)
    assert len(server.asked) == 3
    assert (tmp_path / "data.gz").read_bytes() == CONTENT


def test_too_slow(server: Server, tmp_path: Path) -> None:
    """A server that falls silent is given up after the timeout, as often as patience says."""
    server.stall_after = 100_000
    patience = Patience(num_attempts=2, first_pause_seconds=0.0, timeout_seconds=0.2)
    begin = time.monotonic()
    with pytest.raises(DownloadError, match="broke off after 200,000"):
        download(REMOTE, server.url, tmp_path / "data.gz", patience=patience)
    assert 0.4 <= time.monotonic() - begin < 5
    assert len(server.asked) == 2


def test_nobody_answers(server: Server, tmp_path: Path) -> None:
    """Where nobody listens the error says so, after all attempts."""
    free_port = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    free_port.server_close()
    url = f"http://127.0.0.1:{free_port.server_port}/data.gz"
    with pytest.raises(DownloadError, match="gave up after 3 attempts: no answer"):
        download(REMOTE, url, tmp_path / "data.gz", patience=PATIENCE)
    assert server.asked == []
    assert names(tmp_path) == []


def test_pauses_double(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between attempts double, up to half a minute."""
    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    server.status = [503] * 9
    with pytest.raises(DownloadError):
        download(REMOTE, server.url, tmp_path / "data.gz", patience=Patience(num_attempts=8))
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("url", ["file:///etc/hosts", "ftp://127.0.0.1/x", "data.gz", ""])
def test_only_http(tmp_path: Path, url: str) -> None:
    """Any other scheme is a usage error."""
    with pytest.raises(OptionError, match="cannot download from"):
        download(REMOTE, url, tmp_path / "data.gz")
    assert names(tmp_path) == []


def test_existing_file_is_never_touched(server: Server, tmp_path: Path) -> None:
    """A file under the name stays as it is, and no request is made."""
    (tmp_path / "data.gz").write_bytes(b"mine")
    with pytest.raises(TargetExistsError):
        download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE)
    assert names(tmp_path) == ["data.gz"]
    assert (tmp_path / "data.gz").read_bytes() == b"mine"
    assert server.asked == []


def test_is_present(tmp_path: Path) -> None:
    """Only a file with size and checksum counts as present."""
    path = tmp_path / "data.gz"
    assert not is_present(REMOTE, path)
    assert not is_present(REMOTE, tmp_path)
    path.write_bytes(CONTENT[:-1])
    assert not is_present(REMOTE, path)
    path.write_bytes(CONTENT[::-1])
    assert not is_present(REMOTE, path)
    path.write_bytes(CONTENT)
    assert is_present(REMOTE, path)


def test_two_at_once(server: Server, tmp_path: Path) -> None:
    """While one process writes a file another one is told that it is busy, and harms nothing."""
    with written_aside(tmp_path / "data.gz", num_bytes=4) as file:
        file.write(b"mine")
        with pytest.raises(BusyError):
            download(REMOTE, server.url, tmp_path / "data.gz", patience=PATIENCE)
    assert (tmp_path / "data.gz").read_bytes() == b"mine"
    assert names(tmp_path) == ["data.gz"]


def test_no_room(server: Server, tmp_path: Path) -> None:
    """A file that is larger than the free space is refused before anything is asked."""
    huge = RemoteFile(name="data.gz", num_bytes=1 << 60, sha256="")
    with pytest.raises(DiskError, match="need about 1,152,921,504,607 MB, have"):
        download(huge, server.url, tmp_path / "data.gz", patience=PATIENCE)
    assert names(tmp_path) == []
    assert server.asked == []
