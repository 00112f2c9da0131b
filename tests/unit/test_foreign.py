"""What is handed over by mistake in place of a CSV is named; no CSV is taken for it."""

from __future__ import annotations

import io
import json
import pickle
import sqlite3
import tarfile
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest

from pipeline.errors import EncodingError
from pipeline.source.foreign import FOREIGN, check_text

if TYPE_CHECKING:
    from pathlib import Path

TABLE = pa.table({"label": [0, 1], "a": [1.5, 2.5]})
HEAD_BYTES = 1 << 20


def written_by(write: object) -> bytes:
    """Return what `write(table, sink)` writes."""
    sink = pa.BufferOutputStream()
    write(TABLE, sink)  # type: ignore[operator]  # one of Arrow's writers
    return bytes(sink.getvalue().to_pybytes())


def zipped(name: str) -> bytes:
    """Return a zip archive with the file `name` in it."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(name, "label,a\n0,1\n")
    return sink.getvalue()


def tarred() -> bytes:
    """Return a tar archive."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("raw.csv"))
    return sink.getvalue()


def saved() -> bytes:
    """Return a NumPy file."""
    sink = io.BytesIO()
    np.save(sink, np.zeros(3))
    return sink.getvalue()


TEXT = "label,a\n0,1.5\n1,2.5\n"
CASES: dict[str, tuple[bytes, str]] = {
    "Parquet": (written_by(pyarrow.parquet.write_table), "a Parquet file"),
    "ORC": (written_by(pyarrow.orc.write_table), "an ORC file"),
    "Arrow": (written_by(pyarrow.feather.write_feather), "an Arrow file"),
    "NumPy": (saved(), "a NumPy array"),
    "pickle": (pickle.dumps([1, 2]), "a pickle"),
    "zip": (zipped("raw.csv"), "a zip archive"),
    "workbook": (zipped("[Content_Types].xml"), "a spreadsheet"),
    "tar": (tarred(), "a tar archive"),
    "UTF-16": (TEXT.encode("utf-16"), "UTF-16 text"),
    "UTF-16, no mark": (TEXT.encode("utf-16-le"), "UTF-16 text"),
    "UTF-16, big-endian": (TEXT.encode("utf-16-be"), "UTF-16 text"),
    "UTF-32": (TEXT.encode("utf-32"), "UTF-32 text"),
    "HTML": (b"\n<!doctype html><title>404</title>", "an HTML page"),
    "HTML, bare": (b"<HTML><body>", "an HTML page"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "XML"),
    "JSON": (json.dumps([{"label": 0}]).encode(), "JSON"),
    "JSON lines": (b'{"label": 0, "a": 1}\n', "JSON"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a git-lfs pointer"),
    "DVC": (b"outs:\n- md5: 0123\n  path: raw.csv\n", "a DVC pointer"),
    "PDF": (b"%PDF-1.7\n", "a PDF"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_named(name: str) -> None:
    """What it looks like is said, with something to do about it."""
    data, wording = CASES[name]
    with pytest.raises(EncodingError, match=f"looks like {wording}") as caught:
        check_text(data[:HEAD_BYTES])
    assert caught.value.hint


def test_a_database_is_named(tmp_path: Path) -> None:
    """So is the file of an SQLite database."""
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("create table t (label integer)")
    database.close()
    with pytest.raises(EncodingError, match="an SQLite database"):
        check_text((tmp_path / "a.db").read_bytes())


NAMES = "PAR1 ORC BZh9 PK Obj Rar! ARROW1 LZIP version md5 outs: < [a] { #label \x1ba %PDF SQLite é 7z"


@pytest.mark.parametrize("name", NAMES.split())
def test_no_header_is_taken_for_something_else(name: str) -> None:
    """Column names that begin as those files do, but are text, are names."""
    check_text(f"{name},label\n0,1\n".encode())
    check_text(f"{name}\n0\n".encode())


def test_every_pattern_has_something_to_do() -> None:
    """Nothing is named without a hint."""
    assert all(name and hint for _, name, hint in FOREIGN)
