"""Law: whatever a manifest says, a reader ends in one of our errors or reads what is there, nothing else.

Changed by accident, it is refused: its digest does not fit. Changed by somebody who gives it a digest that
fits, it may still be refused; it never leads to a traceback, a hang, or a file outside the folder.
"""

from __future__ import annotations

import copy
import json
import shutil
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.convert import convert
from pipeline.errors import DatasetError, ManifestError, PipelineError
from pipeline.loader import batches, check_dataset
from pipeline.manifest import load
from pipeline.plan import ConvertOptions, Identity
from pipeline.schema import RoleOptions
from pipeline.verify import verify
from support.damage import MANIFEST, sealed
from support.texts import numbered_text
from support.watched_files import opened_by_python, touched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FORMATS = ("parquet", "tfrecord")
LONGEST_SECONDS = 600
NUM_DRAWN, NUM_DRAWN_LONG = 100, 5000
MAX_PLACES = 8  # of a list: the many tracers are no more interesting than a few

Tree = dict[str, Any]
Place = tuple[str | int, ...]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset in both formats, and beside its folder a shard that no reader may open."""
    folder = tmp_path_factory.mktemp("fuzz")
    header, *rows = numbered_text(60).splitlines()
    lines = [f"{header},w,word", *(f"{row},{1 + i % 2},t{i}" for i, row in enumerate(rows)), "1,x"]
    (folder / "source.csv").write_text("\n".join(lines) + "\n")
    options = ConvertOptions(
        identity=Identity(shard_bytes=600, on_bad_row="skip"),
        roles=RoleOptions(weight="w", keep=("word",)),
        formats=FORMATS,
        num_workers=1,
    )
    convert(folder / "source.csv", folder / "shards", options)
    for form in FORMATS:
        shutil.copy(next((folder / "shards").glob(f"train-00000-*.{form}")), folder / f"secret.{form}")
    (folder / "whole.json").write_bytes((folder / "shards" / MANIFEST).read_bytes())
    return folder / "shards"


def places_of(tree: Any, at: Place = ()) -> Iterator[Place]:
    """Yield the place of every value in a tree of JSON values, but itself; of lists the beginning."""
    ends = enumerate(tree[:MAX_PLACES]) if isinstance(tree, list) else ()
    pairs = tree.items() if isinstance(tree, dict) else ends
    for key, value in pairs:
        yield (*at, key)
        yield from places_of(value, (*at, key))


def nested(depth: int) -> Any:
    """Return lists within lists."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


NAMES = [
    *("../secret.parquet", "../secret.tfrecord", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "a\0b", "./x"),
    *(
        "manifest.json",
        "rejects.jsonl",
        "CON",
        "train-*.parquet",
        "~",
        "$HOME",
        "train-00000-of-00001.parquet",
    ),
    *("\ud800", "\u202etxt", "\ufeff", "train-\uff10", "label", "f0", "id", "w", "features"),
]
NUMBERS = [0, -0.0, 1, -1, 2, 59, 60, 61, 255, 256, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400]
FLOATS = [0.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), 1e-320]
OTHERS = [None, True, False, [], {}, [[]], {"a": {"b": []}}, nested(50), "x" * 5000, "1", "float32", "string"]
WORDS = [
    "parquet",
    "tfrecord",
    "pickle",
    "feature",
    "keep",
    "weight",
    "classes",
    "number",
    "int64",
    "float64",
]


def hostile_values() -> st.SearchStrategy[Any]:
    """Return a strategy of what one may write into a manifest to do harm, and of anything else."""
    known = st.sampled_from([*NAMES, *NUMBERS, *FLOATS, *OTHERS, *WORDS])
    return known | st.integers() | st.floats() | st.text(max_size=8)


@st.composite
def changes(draw: st.DrawFn) -> Callable[[Tree], Tree]:
    """Draw one to three changes of a manifest: a value replaced, removed, doubled, moved, or a key added."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["replace", "replace", "remove", "double", "swap", "add", "scale"]),
                st.integers(0, 10**6),
                st.integers(0, 10**6),
                hostile_values(),
            ),
            min_size=1,
            max_size=3,
        )
    )

    def change(tree: Tree) -> Tree:
        for kind, first, second, value in steps:
            apply(tree, kind, first, second, value)
        return tree

    return change


def apply(tree: Tree, kind: str, first: int, second: int, value: Any) -> None:
    """Do one change to `tree`; numbers say where, modulo the number of places."""
    places = list(places_of(tree))
    *way, last = places[first % len(places)]
    parent = at(tree, way)
    if kind == "replace":
        parent[last] = value
    elif kind == "remove":
        del parent[last]
    elif kind == "double" and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[last]))
    elif kind == "swap":
        *other_way, other = places[second % len(places)]
        other_parent = at(tree, other_way)
        mine, theirs = copy.deepcopy(parent[last]), copy.deepcopy(other_parent[other])
        parent[last], other_parent[other] = theirs, mine
    elif kind == "scale" and isinstance(parent[last], int | float):
        parent[last] = parent[last] * (second % 5 - 1)
    elif isinstance(parent, dict):
        parent[str(value)] = value


def at(tree: Any, way: list[str | int]) -> Any:
    """Return what stands at the end of a way."""
    for key in way:
        tree = tree[key]
    return tree


@contextmanager
def no_hang() -> Iterator[None]:
    """Raise where something takes longer than anything here can take."""

    def late(*_: object) -> None:
        raise TimeoutError(f"not done after {LONGEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


READERS: dict[str, Callable[[Path], object]] = {
    "check": check_dataset,
    "verify": lambda shards: verify(shards, num_workers=1),
    **{
        f"batches {form} {split}": lambda shards, form=form, split=split: read(shards, split, form)
        for form in FORMATS
        for split in ("train", "val")
    },
}


def read(shards: Path, split: str, form: Any) -> list[np.ndarray]:
    """Return features, labels and weights of a split."""
    found = list(batches(shards, split, 16, seed=1, shard_format=form, verify_checksums=True))
    return [np.concatenate(arrays) for arrays in zip(*found, strict=True)]


def assert_harmless(shards: Path) -> None:
    """Fail unless every reader ends in one of our errors or works, and opens nothing outside the folder."""
    outside = [shards.parent / name for name in ("secret.parquet", "secret.tfrecord", "source.csv")]
    for name, reader in READERS.items():
        with no_hang(), touched(outside) as found, opened_by_python() as opened:
            try:
                reader(shards)
            except PipelineError as error:
                assert isinstance(error, DatasetError), (name, error)  # noqa: PT017  # any of them, or none
        assert found == [], name
        near = [path for path in opened if path.startswith(str(shards.parent))]
        assert all(path.startswith(f"{shards}/") and ".." not in path for path in near), (name, near)
        assert not [path for path in opened if "passwd" in path or "\0" in path], name


@given(change=changes())
@settings(max_examples=NUM_DRAWN)
def test_hostile_manifests_do_no_harm(shards: Path, change: Callable[[Tree], Tree]) -> None:
    """Any change at all, under a digest that fits: an error of ours, or it works."""
    harm(shards, change)


@pytest.mark.slow
@given(change=changes())
@settings(max_examples=NUM_DRAWN_LONG)
def test_hostile_manifests_do_no_harm_long(shards: Path, change: Callable[[Tree], Tree]) -> None:
    """The same, many more times."""
    harm(shards, change)


def harm(shards: Path, change: Callable[[Tree], Tree]) -> None:
    """Change the manifest, let every reader read, and put it back."""
    whole = (shards.parent / "whole.json").read_text(encoding="utf-8")
    changed = change(json.loads(whole))
    try:
        (shards / MANIFEST).write_text(sealed(changed), encoding="utf-8")
        assert_harmless(shards)
    finally:
        (shards / MANIFEST).write_text(whole, encoding="utf-8")


@given(change=changes())
@settings(max_examples=NUM_DRAWN)
def test_a_manifest_changed_by_accident_is_refused(shards: Path, change: Callable[[Tree], Tree]) -> None:
    """With the digest that it had, a manifest that says anything else is refused by every reader."""
    whole = (shards.parent / "whole.json").read_text(encoding="utf-8")
    tree = json.loads(whole)
    digest = tree.pop("digest")
    changed = change(copy.deepcopy(tree)) | {"digest": digest}
    if repr(changed) == repr(tree | {"digest": digest}):
        return
    try:
        (shards / MANIFEST).write_text(json.dumps(changed, indent=2, ensure_ascii=True) + "\n")
        for reader in READERS.values():
            with pytest.raises(ManifestError):
                reader(shards)
    finally:
        (shards / MANIFEST).write_text(whole, encoding="utf-8")


@given(
    begin=st.integers(0, 10**5), length=st.integers(0, 40), data=st.binary(max_size=12), seals=st.booleans()
)
@example(begin=0, length=10**5, data=b"", seals=False)
@example(begin=0, length=0, data=b"[" * 12, seals=False)
@example(begin=0, length=10**5, data=b"\xff\xfe{\0}\0", seals=False)
@settings(max_examples=NUM_DRAWN)
def test_bytes_changed_anywhere_do_no_harm(
    shards: Path, begin: int, length: int, data: bytes, *, seals: bool
) -> None:
    """Bytes removed, overwritten or put in, text or not; what is JSON still may get a digest that fits."""
    whole = (shards.parent / "whole.json").read_bytes()
    begin %= len(whole)
    damaged = whole[:begin] + data + whole[begin + length :]
    try:
        try:
            tree = json.loads(damaged) if seals else None
        except ValueError:
            tree = None
        if isinstance(tree, dict):
            damaged = sealed(tree).encode()
        (shards / MANIFEST).write_bytes(damaged)
        assert_harmless(shards)
        if damaged != whole and not isinstance(tree, dict) and b'"digest"' in damaged[-90:]:
            with pytest.raises(ManifestError):
                load(shards)
    finally:
        (shards / MANIFEST).write_bytes(whole)


def test_the_whole_manifest_reads_as_before(shards: Path) -> None:
    """The oracle of this file: unchanged, every reader works, and both formats give the same."""
    assert check_dataset(shards).splits["train"].records == 48
    assert verify(shards).faults == ()
    mine, other = (read(shards, "train", form) for form in FORMATS)
    assert all(map(np.array_equal, mine, other))


def test_a_file_opened_outside_would_be_seen(shards: Path) -> None:
    """The watches do see: a Parquet file that pyarrow opens, a file that Python opens."""
    import pyarrow.parquet as pq  # noqa: PLC0415  # here only

    secret = shards.parent / "secret.parquet"
    with touched([secret]) as found:
        pq.read_metadata(secret)
    assert found
    with opened_by_python() as opened:
        (shards / ".." / "source.csv").read_bytes()
    assert any(".." in path for path in opened)
