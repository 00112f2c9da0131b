"""Law: same content, same options → same bytes, for any number of workers, plain or gzip, again and again."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import plan
from pipeline.errors import MemoryBudgetError
from pipeline.plan import parse_size
from pipeline.runs import store
from pipeline.runs.spilled import SpilledRun, spill
from support.datasets import MANIFEST, convert_text, make_options
from support.texts import anchored, numbered_text, text_cells, written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pipeline.runs.run import Run

NUM_RECORDS = 1200
FAULTY = ["0,zz,1.0,2.0,a\n", "1,7\n", "\n"]


@pytest.fixture(scope="module")
def text() -> str:
    """Some of everything: kept text, a missing cell, bad rows, a blank line, no final line end."""
    rng = np.random.default_rng(5)
    rows = [
        f"{index % 2},{index},{rng.normal()!r},{rng.normal():.3f},word {index % 9}\n"
        for index in range(NUM_RECORDS)
    ]
    for place, row in zip((20, 200, 333), FAULTY, strict=True):
        rows.insert(place, row)
    rows.insert(50, "1,50000,,1.5,é\n")
    return "label,id,a,b,t\n" + "".join(rows) + "0,99999,1.0,2.0,end"


@pytest.mark.parametrize("range_bytes", [300, 5000, 8 << 20])
def test_workers_compression_and_time_change_nothing(
    fresh_folder: Callable[[], Path], text: str, range_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers 1, 2, 4, gzip and plain, now and a year later: all shards and rejects the same bytes.

    Manifests too are the same, but for the names and sizes of the files in `source`, and the checksums of
    what holds those names: the rejects, and the manifest itself.
    """
    monkeypatch.setattr(plan, "ROW_GROUP_BYTES", 1)  # the smallest row groups: many cells to gather from
    results = []
    for num_workers, packed in [
        (1, False),
        (2, False),
        (4, False),
        (1, True),
        (2, True),
        (4, True),
        (1, False),
    ]:
        options = make_options(
            num_workers=num_workers,
            range_bytes=range_bytes,
            keep=("t", "id"),
            on_bad_row="skip",
            on_missing="mean",
            shard_bytes=20_000,
        )
        results.append(convert_text(text, fresh_folder(), options, packed=packed).file_bytes())
        monkeypatch.setattr(time, "time", lambda: 2e9)
    first = results[0]
    assert len(first) >= 6
    for other in results[1:]:
        assert other.keys() == first.keys()
        # The name of the source stands in manifest and rejects: source.csv or source.csv.gz.
        pairs = {name: (first[name], other[name]) for name in first if name.endswith(".parquet")}
        assert all(mine == yours for mine, yours in pairs.values())
        assert _without_names(first) == _without_names(other)
    assert results[0] == results[1] == results[2] == results[-1]
    assert results[3] == results[4] == results[5]


def _without_names(files: dict[str, bytes]) -> tuple[object, bytes]:
    manifest = json.loads(files[MANIFEST])
    for entry in manifest["source"]["files"]:
        del entry["path"], entry["bytes"]
    del manifest["digest"], manifest["rejects"]["sha256"], manifest["rejects"]["bytes"]
    manifest["warnings"] = [text.replace("source.csv.gz", "source.csv") for text in manifest["warnings"]]
    return manifest, files["rejects.jsonl"].replace(b"source.csv.gz", b"source.csv")


@given(
    cells=st.lists(st.tuples(st.sampled_from("01"), st.integers(-99, 99).map(str), text_cells()), min_size=1),
    range_bytes=st.integers(1, 300),
    num_workers=st.integers(2, 4),
)
@settings(max_examples=15)
def test_quoted_line_ends_change_nothing_either(
    fresh_folder: Callable[[], Path], cells: list[tuple[str, str, str]], range_bytes: int, num_workers: int
) -> None:
    """Plain text, cut in parallel, gives the shards of gzip, cut as it streams, wherever quotes fall."""
    text = written([["label", "a", "t"], *anchored(cells, ["0", "1", "text"])])
    plain, packed = (
        convert_text(
            text,
            fresh_folder(),
            make_options(num_workers=num_workers, range_bytes=range_bytes, keep=("t",), shard_bytes=500),
            packed=packed,
        ).file_bytes()
        for packed in (False, True)
    )
    del plain[MANIFEST], packed[MANIFEST]
    assert plain == packed


def test_any_memory_that_suffices_gives_the_same_bytes(
    fresh_folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the very memory that the error asks for, runs go to disk and the shards come out the same."""
    cells = [f"t{index:04d}" * 1000 for index in range(3000)]
    text = "label,a,t\n" + "".join(f"{index % 2},{index / 7!r},{cell}\n" for index, cell in enumerate(cells))
    source = fresh_folder()
    plentiful = make_options(keep=("t",), range_bytes=1 << 20, num_workers=2)
    first = convert_text(text, source, plentiful).file_bytes()
    with pytest.raises(MemoryBudgetError, match="too little") as caught:
        convert_text(
            text, fresh_folder(), make_options(keep=("t",), range_bytes=1 << 20, memory_bytes=1 << 20)
        )
    needed = parse_size(caught.value.hint.split()[2])
    spilled: list[Path] = []

    def counted(runs: Sequence[Run], path: Path, edges: np.ndarray) -> SpilledRun:
        spilled.append(path)
        return spill(runs, path, edges)

    monkeypatch.setattr(store, "spill", counted)
    scarce = make_options(keep=("t",), range_bytes=1 << 20, memory_bytes=needed, num_workers=2)
    assert convert_text(text, fresh_folder(), scarce).file_bytes() == first
    assert spilled


def test_what_changes_the_bytes_changes_the_fingerprint(fresh_folder: Callable[[], Path]) -> None:
    """Each option of the identity, the content, and the roles give a fingerprint of their own."""
    text = numbered_text(50)
    variants = [
        make_options(),
        make_options(seed=43),
        make_options(standardize=False),
        make_options(range_bytes=1000),
        make_options(shard_bytes=100),
        make_options(drop=("id",)),
        make_options(keep=("id",)),
        make_options(weight="id"),
        make_options(on_bad_row="skip"),
        make_options(on_missing="mean"),
        make_options(on_nonfinite="drop"),
        make_options(label_kind="number"),
        make_options(label="f0"),
    ]
    found = [convert_text(text, fresh_folder(), options).manifest["fingerprint"] for options in variants]
    found.append(
        convert_text(numbered_text(50, seed=1), fresh_folder(), make_options()).manifest["fingerprint"]
    )
    assert len(set(found)) == len(variants) + 1
    again = convert_text(text, fresh_folder(), make_options(num_workers=3)).manifest["fingerprint"]
    assert again == found[0]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: b"\xef\xbb\xbf" + text, id="byte-order mark"),
        pytest.param(lambda text: text.replace(b"label,id", b"# label , id"), id="padded header"),
        pytest.param(lambda text: b"\n\r\n" + text, id="blank lines before the header"),
        pytest.param(lambda text: text.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(lambda text: text.replace(b"\n", b"\r\n", 10), id="mixed line ends"),
        pytest.param(lambda text: text.replace(b"\n", b"\n\n"), id="blank lines"),
        pytest.param(lambda text: text.removesuffix(b"\n"), id="no final line end"),
        pytest.param(lambda text: text.replace(b",", b";"), id="another delimiter"),
    ],
)
def test_dress_does_not_change_the_records(
    fresh_folder: Callable[[], Path], change: Callable[[bytes], bytes]
) -> None:
    """Byte-order mark, line ends, padding and blank lines leave every record at its place in its shard."""
    clean = numbered_text(60).encode()
    dressed = change(clean)
    delimiter = ";" if b";" in dressed else None
    first = convert_text(clean, fresh_folder(), make_options(keep=("id",)))
    second = convert_text(dressed, fresh_folder(), make_options(keep=("id",), delimiter=delimiter))
    for split in ("train", "val", "test"):
        assert first.rows(split) == second.rows(split)
    assert first.manifest["columns"] == second.manifest["columns"]
