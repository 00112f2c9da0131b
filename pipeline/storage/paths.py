"""Owns where bytes are: a path on this machine, or a URL of a store that fsspec knows, used alike.

A local path is a `pathlib.Path`; `s3://`, `gs://`, `https://`, `sftp://` and the like are a `upath.UPath`,
which has the same methods. What differs (folders, whole trees, names of faults) is here. Neighbours: `reads`
reads, `files` writes, `publication` publishes.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import (
    AccessError,
    DiskError,
    MissingExtraError,
    OptionError,
    PipelineError,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upath import UPath

    from pipeline.standard_input import StandardInput

    AnyPath = Path | UPath
    SourcePath = Path | UPath | StandardInput

Place = TypeVar("Place", bound="SourcePath")

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
HTTP = {"http", "https"}
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "sftp": "sftp", "ssh": "sftp"}
EXTRAS |= dict.fromkeys(HTTP, "remote")
# Here an object appears at once and whole, and there are no folders; elsewhere (sftp, …) files grow in place.
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "adl", "oci", "oss", "r2", "memory"}
# The libraries beneath fsspec have trees of errors of their own; their packages tell them from our faults.
STORE_PACKAGES = {"adlfs", "aiobotocore", "aiohttp", "azure", "botocore", "fsspec", "gcsfs", "google"}
STORE_PACKAGES |= {"paramiko", "s3fs"}
STORE_HINT = "check address, credentials and network, then run it again"
SILENCE_SECONDS = 60  # of a server of HTTP; how long a transfer takes as a whole depends on the file


def locate(text: str) -> AnyPath:
    """Return the path that a user's words name: a URL where there is "://" in them, else a local path.

    Raises:
        MissingExtraError: the package that reads such URLs is not installed.
        OptionError: nobody knows such URLs.
    """
    protocol, mark, _ = text.partition("://")
    if not mark:
        return Path(text)
    if protocol in {"file", "local"}:
        return Path(text.removeprefix(f"{protocol}://"))
    try:
        from upath import UPath  # noqa: PLC0415  # loads fsspec, which few need

        path: UPath = UPath(text, **_options(protocol))
        _ = path.fs
    except ImportError:
        extra = EXTRAS.get(protocol)
        hint = f'pip install "csv-shard-pipeline[{extra}]"' if extra else "install what fsspec needs for it"
        raise MissingExtraError(f"{protocol}:// cannot be read", path=text, hint=hint) from None
    except ValueError:
        raise OptionError(
            f"{protocol}:// is not known", path=text, hint="see the list of fsspec's protocols"
        ) from None
    return path


def _options(protocol: str) -> dict[str, Any]:
    """Return what a file system is to be told beyond what it finds in the environment."""
    if protocol not in HTTP:
        return {}
    import aiohttp  # noqa: PLC0415  # what fsspec speaks HTTP with

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE_SECONDS, sock_read=SILENCE_SECONDS)
    return {"client_kwargs": {"timeout": timeout, "trust_env": True}}


def is_local(path: SourcePath) -> bool:
    """Return whether `path` is on this machine's own file systems."""
    return isinstance(path, Path)


def absolute(path: Place) -> Place:
    """Return `path` so that it means the same in any process; a URL does."""
    return path.absolute() if isinstance(path, Path) else path


def shown(path: SourcePath) -> str:
    """Return `path` as a user wrote it."""
    return str(path)


def store_of(path: UPath) -> Any:  # noqa: ANN401  # fsspec has no types
    """Return the file system of `path` for the thread that asks.

    A connection that waits for its answers (sftp, …) is of one thread; where many can wait, there is but one.
    """
    store = path.fs
    if store.async_impl:
        return store
    return type(store)(*store.storage_args, **store.storage_options)  # fsspec keeps one for each thread


def size_of(path: AnyPath) -> int:
    """Return the size of a file in bytes; -1 where there is none."""
    try:
        return path.stat().st_size if isinstance(path, Path) else int(store_of(path).info(path.path)["size"])
    except FileNotFoundError:
        return -1


def names_in(folder: AnyPath) -> list[str]:
    """Return the names of what is in `folder`, in order; none where there is no such folder."""
    if not isinstance(folder, Path):
        folder.fs.invalidate_cache()
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_object_store(path: SourcePath) -> bool:
    """Return whether `path` is in a store of objects: each appears at once, whole, and in no folder."""
    return not is_local(path) and getattr(path, "protocol", "") in OBJECT_STORES


def make_folder(folder: AnyPath) -> None:
    """Make `folder`, and those above it; a store of objects has none."""
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)
    elif not is_object_store(folder):
        folder.fs.makedirs(folder.path, exist_ok=True)


def remove_tree(folder: AnyPath) -> None:
    """Remove `folder` and everything in it, as far as it is there and may be removed."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
        return
    folder.fs.invalidate_cache()
    if folder.fs.exists(folder.path):
        folder.fs.rm(folder.path, recursive=True)


def abort_uploads(folder: UPath) -> None:
    """Forget uploads into `folder` that were begun and will not be ended: S3 keeps them, and bills for them.

    Whoever may not do that leaves it to a rule of the bucket, `AbortIncompleteMultipartUpload`.
    """
    if folder.protocol not in {"s3", "s3a"}:
        return
    bucket, _, prefix = folder.path.partition("/")
    with suppress(OSError):
        listed = folder.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/")
        for upload in listed.get("Uploads", ()):
            place = {"Bucket": bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
            folder.fs.call_s3("abort_multipart_upload", **place)


@contextmanager
def system_errors_told(path: SourcePath, *, hint: str) -> Iterator[None]:
    """Turn what the system says of disk, access, stores into our errors, at `path` where it names none.

    Raises:
        AccessError: permission denied.
        DiskError: the disk is full or fails; with `hint`.
        StoreError: a store that is reached by URL failed.
    """
    try:
        yield
    except PipelineError:
        raise
    except PermissionError as error:
        raise AccessError("permission denied", path=str(error.filename or path)) from None
    except OSError as error:
        if error.errno in DISK_ERRORS:
            where = str(error.filename or path)
            raise DiskError(os.strerror(error.errno or 0), path=where, hint=hint) from None
        if is_local(path):
            raise
        raise _store_error(error, path) from None
    except Exception as error:
        if is_local(path) or type(error).__module__.partition(".")[0] not in STORE_PACKAGES:
            raise
        raise _store_error(error, path) from None


def _store_error(error: Exception, path: SourcePath) -> StoreError:
    said = " ".join(str(error).split()) or type(error).__name__
    return StoreError(said, path=shown(path), hint=STORE_HINT)
