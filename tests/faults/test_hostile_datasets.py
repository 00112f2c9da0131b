"""Shards made to do harm, under a manifest that fits them: a clean error, in bounded memory, by every reader.

The readers run in one process of their own: a shard that took it down, or made it large, would be known.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.convert import convert
from pipeline.formats.crc32c import masked_crc32c
from pipeline.formats.protobuf import delimiter
from pipeline.plan import ConvertOptions, Identity
from pipeline.schema import RoleOptions
from support.command import ROOT
from support.damage import flip, reseal, rewrite
from support.hostile_reader import OK
from support.texts import numbered_text
from support.tf_columns import framed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NUM_RECORDS = 48  # of the train split, in one shard
MAX_GROWTH_BYTES = 200 << 20  # what no reader needs for 48 records, hostile or not
NUM_FLIPS = 60
Answer = dict[str, Any]


class Readers:
    """The process that reads; started anew when a shard took it down."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._start()

    def _start(self) -> None:
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.hostile_reader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": path},
            text=True,
        )

    def ask(self, shards: Path) -> Answer:
        """Return what came of every reader; nothing if the process died."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{shards}\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if line:
            found: Answer = json.loads(line)
            return found
        self.close()
        self._start()
        return {}

    def close(self) -> None:
        """End the process."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    """The process that reads."""
    process = Readers()
    yield process
    process.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of both formats in one shard per split, with a kept text."""
    folder = tmp_path_factory.mktemp("whole")
    header, *rows = numbered_text(60).splitlines()
    text = "\n".join([f"{header},word", *(f"{row},t{i}" for i, row in enumerate(rows))])
    (folder / "source.csv").write_text(text + "\n")
    options = ConvertOptions(
        identity=Identity(), roles=RoleOptions(keep=("word",)), formats=("parquet", "tfrecord"), num_workers=1
    )
    convert(folder / "source.csv", folder / "shards", options)
    return folder / "shards"


@pytest.fixture
def shards(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be made hostile."""
    shutil.copytree(whole, tmp_path / "shards")
    return tmp_path / "shards"


@pytest.fixture(scope="module")
def usual_bytes(readers: Readers, whole: Path) -> int:
    """The memory that reading the whole dataset takes; every reader must like it."""
    answer = readers.ask(whole)
    assert {answer[name] for name in ("check", "verify", "parquet", "tfrecord", "kept")} == {OK}
    return int(answer["peak_bytes"])


def with_footer(data: bytes, footer: bytes, size: int | None = None) -> bytes:
    """Return a Parquet file with another footer, or another size of it."""
    (old,) = struct.unpack("<I", data[-8:-4])
    return data[: -8 - old] + footer + struct.pack("<I", len(footer) if size is None else size) + b"PAR1"


def footer_of(data: bytes) -> bytes:
    """Return the footer of a Parquet file."""
    (size,) = struct.unpack("<I", data[-8:-4])
    return data[-8 - size : -8]


def written(table: pa.Table, path: Path, **given: Any) -> bytes:
    """Return the Parquet file of `table`, which says of itself what the one at `path` says."""
    own = pq.read_schema(path).metadata
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(own), sink, store_schema=False, **given)
    return bytes(sink.getvalue())


def zeros(path: Path) -> bytes:
    """Return a Parquet file of a few kilobytes that stands for 27 million records in one row group."""
    schema = pq.read_schema(path)
    same = pa.array(np.zeros(27_000_000, np.int8))
    columns = [
        pa.DictionaryArray.from_arrays(same, pa.array([""] if kind == pa.string() else [0], kind))
        for kind in schema.types
    ]
    return written(pa.table(columns, names=schema.names), path, row_group_size=len(same))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A hostile file, made of the one at a path; `readers` are those who must refuse it."""

    make: Callable[[Path], bytes]
    readers: tuple[str, ...]
    wording: str = ""


EVERYONE = ("check", "verify", "parquet")
DECODING = ("verify", "parquet")
TABLES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "a feature as double": lambda t: t.set_column(2, "f0", t["f0"].cast("float64")),
    "a feature as text": lambda t: t.set_column(2, "f0", t["f0"].cast("string")),
    "a feature as half": lambda t: t.set_column(2, "f0", t["f0"].cast("float16")),
    "a feature as list": lambda t: t.set_column(2, "f0", pa.array([[1.0]] * len(t), pa.list_(pa.float32()))),
    "a feature as struct": lambda t: t.set_column(2, "f0", pa.array([{"x": 1.0}] * len(t))),
    "a feature as dictionary": lambda t: t.set_column(2, "f0", t["f0"].cast("string").dictionary_encode()),
    "a label as int32": lambda t: t.set_column(0, "label", t["label"].cast("int32")),
    "a label as unsigned": lambda t: t.set_column(0, "label", t["label"].cast("uint64")),
    "a label as bool": lambda t: t.set_column(0, "label", t["label"].cast("bool")),
    "a text as bytes": lambda t: t.set_column(4, "word", t["word"].cast("binary")),
    "columns in another order": lambda t: t.select(t.column_names[::-1]),
    "a column missing": lambda t: t.drop_columns(["f1"]),
    "a column more": lambda t: t.append_column("more", t["f1"]),
    "a column twice": lambda t: t.append_column("f0", t["f0"]),
    "fewer records": lambda t: t.slice(1),
    "more records": lambda t: pa.concat_tables([t, t.slice(0, 1)]),
    "no records": lambda t: t.slice(0, 0),
}
PARQUET: dict[str, Case] = {
    name: Case(
        make=lambda path, change=change: written(change(pq.read_table(path)), path),
        readers=("check", "verify"),
    )
    for name, change in TABLES.items()
} | {
    "a footer of 4 GiB": Case(
        make=lambda path: with_footer(path.read_bytes(), b"", 0xFFFFFFFF), readers=EVERYONE
    ),
    "a footer of nothing": Case(make=lambda path: with_footer(path.read_bytes(), b""), readers=EVERYONE),
    "a footer longer than the file": Case(
        make=lambda path: with_footer(path.read_bytes(), b"", 10**6), readers=EVERYONE
    ),
    "a footer of noise": Case(
        make=lambda path: with_footer(path.read_bytes(), np.random.default_rng(0).bytes(900)),
        readers=EVERYONE,
    ),
    "a footer that nests without end": Case(
        make=lambda path: with_footer(path.read_bytes(), b"\x1c" * 5000), readers=EVERYONE
    ),
    "a list of 2 billion": Case(
        make=lambda path: with_footer(path.read_bytes(), b"\x15\x02\x19\xfc\xff\xff\xff\xff\x07"),
        readers=EVERYONE,
    ),
    "nothing but magic": Case(make=lambda _: b"PAR1PAR1", readers=EVERYONE),
    "magic and a size": Case(make=lambda _: b"PAR1\0\0\0\0PAR1", readers=EVERYONE),
    "no magic": Case(make=lambda path: path.read_bytes()[:-4] + b"PAR2", readers=EVERYONE),
    "encrypted": Case(make=lambda path: path.read_bytes()[:-4] + b"PARE", readers=EVERYONE),
    "a TFRecord": Case(make=lambda path: path.with_suffix(".tfrecord").read_bytes(), readers=EVERYONE),
    "a script": Case(make=lambda _: b"#!/bin/sh\ntouch /tmp/harm\n", readers=EVERYONE),
    "pages that are not there": Case(
        make=lambda path: b"PAR1" + with_footer(path.read_bytes(), footer_of(path.read_bytes()))[-1400:],
        readers=DECODING,
    ),
    "nulls": Case(
        make=lambda path: written(
            (t := pq.read_table(path)).set_column(2, "f0", pa.array([None] * len(t), pa.float32())), path
        ),
        readers=DECODING,
        wording="nulls",
    ),
    "text that is not UTF-8": Case(
        make=lambda path: path.read_bytes().replace(b"\x02\0\0\0t7", b"\x02\0\0\0t\xff"), readers=("verify",)
    ),
    "zeros without end": Case(make=zeros, readers=EVERYONE),
}


def frame(length: int, *, right: bool) -> bytes:
    """Return the header of a record that claims `length` bytes, with the right checksum or a wrong one."""
    head = struct.pack("<Q", length)
    return head + struct.pack("<I", masked_crc32c(head) ^ (not right))


def message(number: int, *parts: bytes) -> bytes:
    """Return a length-delimited field of protobuf made of `parts`."""
    content = b"".join(parts)
    return delimiter(number, len(content)) + content


def example(*, features: bytes, label: bytes) -> bytes:
    """Return a record with these bytes for the lists of features and label, and a word."""
    entries = {"features": features, "label": label, "word": message(1, message(1, b"t"))}
    return framed(
        message(
            1, *(message(1, message(1, name.encode()), message(2, value)) for name, value in entries.items())
        )
    )


FLOATS = message(2, message(1, struct.pack("<3f", 1, 2, 3)))
LABEL = message(3, message(1, b"\x01"))
REFUSED = ("verify", "tfrecord")
RECORD_SETS: dict[str, bytes] = {
    "a wider vector": example(features=message(2, message(1, struct.pack("<4f", 1, 2, 3, 4))), label=LABEL),
    "a vector of doubles": example(features=message(2, message(1, struct.pack("<3d", 1, 2, 3))), label=LABEL),
    "features that are integers": example(features=message(3, message(1, b"\x01\x02\x03")), label=LABEL),
    "a label that is text": example(features=FLOATS, label=message(1, message(1, b"one"))),
    "two labels": example(features=FLOATS, label=message(3, message(1, b"\x01\x01"))),
    "a varint that does not end": example(features=FLOATS, label=message(3, message(1, b"\xff" * 11))),
    "no label": framed(message(1, message(1, message(1, b"features"), message(2, FLOATS)))),
    "an empty record": framed(b""),
    "no protobuf": framed(b"\xff" * 40),
    "a field longer than its record": framed(b"\x0a\xff\xff\xff\xff\x0f"),
}
TFRECORD: dict[str, Case] = {
    name: Case(make=lambda _, record=record: record * NUM_RECORDS, readers=REFUSED)
    for name, record in RECORD_SETS.items()
} | {
    "a length of 2**64 - 1, checksum right": Case(
        make=lambda _: frame((1 << 64) - 1, right=True) + bytes(1000),
        readers=REFUSED,
        wording="expected at most",
    ),
    "a length of 2**63, checksum wrong": Case(
        make=lambda _: frame(1 << 63, right=False) + bytes(1000), readers=REFUSED, wording="checksum of"
    ),
    "a length of 1 GiB": Case(
        make=lambda _: frame(1 << 30, right=True) + bytes(1000), readers=REFUSED, wording="expected at most"
    ),
    "a length beyond the end": Case(
        make=lambda path: path.read_bytes() + frame(1 << 20, right=True) + bytes(1000), readers=("verify",)
    ),
    "lengths that lead to the middle of nothing": Case(
        make=lambda _: frame(0, right=True) * 1000, readers=REFUSED
    ),
    "noise behind the records": Case(
        make=lambda path: path.read_bytes() + np.random.default_rng(1).bytes(500), readers=("verify",)
    ),
    "cut between records": Case(
        make=lambda path: b"".join(records_of(path)[:-1]), readers=REFUSED, wording="records"
    ),
    "records twice": Case(
        make=lambda path: path.read_bytes() * 2, readers=("verify",), wording="records, expected 48"
    ),
    "zeros beyond all measure, packed": Case(
        make=lambda _: gzip.compress(bytes(1 << 20)) * 256, readers=REFUSED, wording="checksum"
    ),
    "a million records, packed": Case(
        make=lambda path: gzip.compress(records_of(path)[0] * 1_000_000), readers=("verify",)
    ),
    "gzip that ends early": Case(
        make=lambda path: gzip.compress(path.read_bytes())[:-20], readers=REFUSED, wording="ended"
    ),
    "gzip in name only": Case(make=lambda _: b"\x1f\x8b" + bytes(500), readers=REFUSED),
    "nothing": Case(make=lambda _: b"", readers=("verify", "tfrecord", "check")),
    "a Parquet file": Case(make=lambda path: path.with_suffix(".parquet").read_bytes(), readers=REFUSED),
}


def records_of(path: Path) -> list[bytes]:
    """Return the records of a TFRecord file, each with its frame."""
    data, found = path.read_bytes(), []
    while data:
        end = struct.unpack_from("<Q", data)[0] + 16
        found.append(data[:end])
        data = data[end:]
    return found


def assert_refused(answer: Answer, case: Case, usual_bytes: int) -> None:
    """Fail unless those who must refuse did, nobody did anything else, and memory stayed what it was."""
    assert answer, "the process that reads died"
    told = {name: answer[name] for name in ("check", "verify", "parquet", "tfrecord", "kept")}
    for name, said in told.items():
        assert said == OK or said.startswith(("ShardError: ", "ManifestError: ")), (name, said)
    for name in case.readers:
        assert told[name] != OK, (name, told)
    assert any(case.wording in told[name] for name in case.readers), told
    assert answer["peak_bytes"] < usual_bytes + MAX_GROWTH_BYTES, told


@pytest.mark.parametrize("name", PARQUET)
def test_hostile_parquet(readers: Readers, shards: Path, usual_bytes: int, name: str) -> None:
    """Footers and pages that lie, columns of other kinds: refused, in the memory of 48 records."""
    path = next(shards.glob("train-*.parquet"))
    path.write_bytes(PARQUET[name].make(path))
    reseal(shards)
    assert_refused(readers.ask(shards), PARQUET[name], usual_bytes)


@pytest.mark.parametrize("name", TFRECORD)
def test_hostile_tfrecord(readers: Readers, shards: Path, usual_bytes: int, name: str) -> None:
    """Lengths that lie, records that hold something else, bombs: refused, in the memory of 48 records."""
    path = next(shards.glob("train-*.tfrecord"))
    path.write_bytes(TFRECORD[name].make(path))
    reseal(shards)
    assert_refused(readers.ask(shards), TFRECORD[name], usual_bytes)


@pytest.mark.parametrize("num_groups", [1, 3, 48])
def test_other_row_groups_read_the_same(
    readers: Readers, shards: Path, usual_bytes: int, num_groups: int
) -> None:
    """Smaller row groups than those of the format are no fault: the same records come out."""
    path = next(shards.glob("train-*.parquet"))
    path.write_bytes(written(pq.read_table(path), path, row_group_size=NUM_RECORDS // num_groups))
    reseal(shards)
    answer = readers.ask(shards)
    assert {answer[name] for name in ("check", "verify", "parquet", "kept")} == {OK}
    assert answer["peak_bytes"] < usual_bytes + MAX_GROWTH_BYTES


def sweep(readers: Readers, shards: Path, usual_bytes: int, step: int) -> int:
    """Flip a bit of every `step`-th byte of a Parquet shard under checksums that fit; return how many."""
    path = next(shards.glob("train-*.parquet"))
    places = range(4, path.stat().st_size - 8, step)
    for at in places:
        bit = (at // step) % 8
        flip(path, at, bit=bit)
        reseal(shards)
        answer = readers.ask(shards)
        assert answer, f"a flip at byte {at}, bit {bit}: the process that reads died"
        said = [answer[name] for name in ("check", "verify", "parquet", "kept")]
        assert all(one == OK or one.startswith("ShardError: ") for one in said), (at, bit, said)
        assert answer["peak_bytes"] < usual_bytes + MAX_GROWTH_BYTES, (at, bit, said)
        flip(path, at, bit=bit)
    return len(places)


def test_damage_under_checksums_that_fit(readers: Readers, shards: Path, usual_bytes: int) -> None:
    """What no checksum tells must not take the process down, whatever it makes of the numbers."""
    size = next(shards.glob("train-*.parquet")).stat().st_size
    rewrite(shards, lambda tree: tree["label"].update(counts={}))
    assert sweep(readers, shards, usual_bytes, size // NUM_FLIPS | 1) > NUM_FLIPS // 2


@pytest.mark.slow
def test_damage_anywhere_under_checksums_that_fit(
    readers: Readers, shards: Path, usual_bytes: int, record_property: Callable[[str, object], None]
) -> None:
    """The same at every byte."""
    rewrite(shards, lambda tree: tree["label"].update(counts={}))
    record_property("points", sweep(readers, shards, usual_bytes, 1))
