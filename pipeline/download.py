"""Owns one verified download over HTTP: ranges, retries, and the continuation of one that broke off.

    data.gz.partial            the bytes received so far
    data.gz.partial.json       {url, validator}: the ETag or date of the file that they are from

A continuation asks for the remaining bytes *if* the file is still that one (If-Range), so bytes of two
versions never meet; and nothing is published unless size and SHA-256 are as expected.
Neighbours: `fetch` knows the files, `partial` the place on disk.

Source: RFC 9110, sections 13.1.5 (If-Range), 14 (range requests) and 15.5.17 (416).
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit

from pipeline.errors import ChecksumError, DownloadError, OptionError
from pipeline.partial import partial_path, written_aside
from pipeline.progress import SILENT
from pipeline.storage import write_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedRandom
    from pathlib import Path

    from pipeline.progress import Progress

_BLOCK_BYTES = 1 << 18  # 256 KiB: small enough that progress moves, large enough that Python does not count
_ENOUGH_BYTES = 1 << 20  # an attempt that brings 1 MiB more than any before is progress, no failure
_MAX_PAUSE_SECONDS = 30.0
_RETRIED = {408, 425, 429, 500, 502, 503, 504}  # the server may think better of these
_OK, _PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = 200, 206, 416


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file as it must arrive: its name, size and SHA-256 (hexadecimal), and records where known."""

    name: str
    num_bytes: int
    sha256: str
    num_records: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often to try without progress, how long to wait before the second try, and for each answer.

    Every further pause is twice the one before, 30 seconds at most.
    """

    num_attempts: int = 6
    first_pause_seconds: float = 1.0
    timeout_seconds: float = 30.0


PATIENT = Patience()


def is_present(remote: RemoteFile, path: Path) -> bool:
    """Return whether `path` is a file with the size and the SHA-256 of `remote`."""
    if not path.is_file() or path.stat().st_size != remote.num_bytes:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == remote.sha256


def download(
    remote: RemoteFile, url: str, dest: Path, *, patience: Patience = PATIENT, progress: Progress = SILENT
) -> int:
    """Fetch `url` to `dest` and return how many of its bytes an earlier, broken call had left.

    `dest` appears whole and verified, or not at all. Safe to repeat: what was received is kept beside it.

    Raises:
        OptionError: `url` is neither http nor https.
        DownloadError: the server refuses, or breaks off too often.
        ChecksumError: size or SHA-256 are not those of `remote`; what was received is removed.
        TargetExistsError, BusyError, DiskError, AccessError: as `written_aside` says.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        hint = "give an address that begins with https:// or http://"
        raise OptionError(f"cannot download from {url!r}", hint=hint)
    with written_aside(dest, num_bytes=remote.num_bytes) as file:
        transfer = _Transfer(file=file, remote=remote, url=url, dest=dest, progress=progress)
        num_kept_bytes = transfer.begin()
        try:
            num_resumed_bytes = _persist(transfer, patience, num_kept_bytes)
        finally:
            progress.finish()
        transfer.verify()
    transfer.forget_validator()
    return num_resumed_bytes


class _BrokenOffError(Exception):
    """The attempt ended early; another may do better."""


def _persist(transfer: _Transfer, patience: Patience, num_kept_bytes: int) -> int:
    """Try until all bytes are there; return how many of `num_kept_bytes` were used."""
    num_failures, most_bytes = 0, num_kept_bytes
    while not transfer.is_complete():
        try:
            transfer.attempt(patience.timeout_seconds)
        except _BrokenOffError as reason:
            if transfer.num_bytes >= most_bytes + _ENOUGH_BYTES:
                num_failures = 0
            num_failures, most_bytes = num_failures + 1, max(most_bytes, transfer.num_bytes)
            if num_failures >= patience.num_attempts:
                message = f"gave up after {num_failures} attempts: {reason}"
                hint = "run the same command again later: it continues where this one stopped"
                raise DownloadError(message, path=transfer.url, hint=hint) from None
            time.sleep(min(patience.first_pause_seconds * 2 ** (num_failures - 1), _MAX_PAUSE_SECONDS))
    return 0 if transfer.was_restarted else num_kept_bytes


class _Transfer:
    """The state of one download: the partial file, and which version of the remote file it is from."""

    def __init__(
        self, *, file: BufferedRandom, remote: RemoteFile, url: str, dest: Path, progress: Progress
    ) -> None:
        self.url = url
        self.was_restarted = False
        self._file = file
        self._remote = remote
        self._partial = partial_path(dest)
        self._validator_path = self._partial.with_name(self._partial.name + ".json")
        self._validator = self._known_validator()
        self._progress = progress

    @property
    def num_bytes(self) -> int:
        """The number of bytes received and kept."""
        return self._file.tell()

    def is_complete(self) -> bool:
        """Return whether all bytes are there."""
        return self.num_bytes == self._remote.num_bytes

    def begin(self) -> int:
        """Return how many bytes an earlier call left; those that cannot be continued are dropped."""
        if self.num_bytes > self._remote.num_bytes or not self._validator:
            self._drop()
        self._progress.start("downloading", total=self._remote.num_bytes, unit="bytes")
        self._progress.advance(self.num_bytes)
        return self.num_bytes

    def attempt(self, timeout_seconds: float) -> None:
        """Ask for the bytes that are missing and append what comes.

        Raises:
            _BrokenOffError: the answer ended early, or was none.
            DownloadError, ChecksumError: asking again is of no use.
        """
        headers = {"User-Agent": "csv-shard-pipeline", "Accept-Encoding": "identity"}
        if self.num_bytes and not self._validator:
            self._restart()  # nothing would tell whether the file is still the same
        if self.num_bytes:
            headers |= {"Range": f"bytes={self.num_bytes}-", "If-Range": self._validator}
        request = urllib.request.Request(self.url, headers=headers)  # noqa: S310  # the scheme was checked
        with self._answer(request, timeout_seconds) as response:
            self._accept(response)
            for block in _blocks(response, self._remote.num_bytes - self.num_bytes):
                self._file.write(block)
                self._progress.advance(len(block))
        if not self.is_complete():
            received = f"{self.num_bytes:,} of {self._remote.num_bytes:,} bytes"
            raise _BrokenOffError(f"the connection broke off after {received}")

    def verify(self) -> None:
        """Raise ChecksumError, and remove what was received, unless it has the expected SHA-256."""
        digest = hashlib.sha256()
        self._progress.start("checking", total=self._remote.num_bytes, unit="bytes")
        self._file.seek(0)
        try:
            while block := self._file.read(_BLOCK_BYTES):
                digest.update(block)
                self._progress.advance(len(block))
        finally:
            self._progress.finish()
        if digest.hexdigest() != self._remote.sha256:
            self._refuse(f"received bytes with SHA-256 {digest.hexdigest()}, expected {self._remote.sha256}")

    def forget_validator(self) -> None:
        """Remove the note beside the partial file."""
        self._validator_path.unlink(missing_ok=True)

    def _answer(self, request: urllib.request.Request, timeout_seconds: float) -> http.client.HTTPResponse:
        try:
            response: http.client.HTTPResponse = _opener().open(request, timeout=timeout_seconds)
        except HTTPError as error:
            error.close()
            if error.code == _RANGE_NOT_SATISFIABLE:
                self._restart()  # what is here is longer than what is there
            elif error.code not in _RETRIED:
                raise self._refusal(error.code, error.reason) from None
            raise _BrokenOffError(f"the server answered {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenOffError(f"no answer ({error})") from None
        return response

    def _accept(self, response: http.client.HTTPResponse) -> None:
        """Make the partial file ready for the body of `response`, or raise."""
        if response.status == _PARTIAL_CONTENT and self.num_bytes:
            begin, num_total_bytes = _content_range(response)
            self._check_size(num_total_bytes)
            if begin != self.num_bytes:
                self._restart()
                raise _BrokenOffError("the server sent other bytes than those asked for")
        elif response.status == _OK:
            self._check_size(response.length)
            if self.num_bytes:
                self._restart()  # the file has changed, or the server knows no ranges
            self._remember_validator(response)
        else:
            raise self._refusal(response.status, response.reason)

    def _refusal(self, status: int, reason: str) -> DownloadError:
        hint = "check the address in a browser"
        return DownloadError(f"the server answered {status} {reason}", path=self.url, hint=hint)

    def _check_size(self, num_bytes: int | None) -> None:
        if num_bytes is not None and num_bytes != self._remote.num_bytes:
            self._refuse(f"the server offers {num_bytes:,} bytes, expected {self._remote.num_bytes:,}")

    def _refuse(self, message: str) -> None:
        self._partial.unlink(missing_ok=True)
        self.forget_validator()
        hint = "run the command again; if it fails again, the file there is not the one that is known here"
        raise ChecksumError(message, path=self.url, hint=hint)

    def _restart(self) -> None:
        self.was_restarted = True
        self._drop()
        self._progress.finish()
        self._progress.start("downloading", total=self._remote.num_bytes, unit="bytes")

    def _drop(self) -> None:
        self._file.truncate(0)
        self._file.seek(0)  # truncation leaves the position, from which the size is told

    def _known_validator(self) -> str:
        """Return the validator of the bytes that are there, or "" if it is unknown or another address's."""
        try:
            note = json.loads(self._validator_path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return ""
        if not isinstance(note, dict) or note.get("url") != self.url:
            return ""
        return str(note.get("validator", ""))

    def _remember_validator(self, response: http.client.HTTPResponse) -> None:
        etag = response.headers.get("ETag", "")
        strong = "" if etag.startswith("W/") else etag  # If-Range must not carry a weak one
        self._validator = strong or response.headers.get("Last-Modified", "")
        write_text(self._validator_path, json.dumps({"url": self.url, "validator": self._validator}) + "\n")


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows http, https, redirects and proxies, but neither file: nor ftp:."""
    opener = urllib.request.OpenerDirector()
    for kind in ("Proxy", "Unknown", "HTTP", "HTTPS", "HTTPRedirect", "HTTPDefaultError"):
        opener.add_handler(getattr(urllib.request, kind + "Handler")())
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    return opener


def _blocks(response: http.client.HTTPResponse, num_bytes: int) -> Iterator[bytes]:
    """Yield the body, `num_bytes` at most; a network error ends it, a disk error is not mistaken for one."""
    while num_bytes > 0:
        try:
            block = response.read1(min(_BLOCK_BYTES, num_bytes))
        except (OSError, http.client.HTTPException):
            return
        if not block:
            return
        num_bytes -= len(block)
        yield block


def _content_range(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Return where the body begins, and the size of the whole file if the server tells it."""
    matched = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if matched is None:
        return -1, None
    return int(matched[1]), None if matched[2] == "*" else int(matched[2])
