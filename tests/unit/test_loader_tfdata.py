"""Batches as a tf.data pipeline: those of NumPy, with a known cardinality, and nothing left behind."""

from __future__ import annotations

import gc
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline import backend, plan
from pipeline.convert import convert
from pipeline.errors import MissingExtraError, OptionError
from pipeline.loader import batches, dataset, order
from pipeline.loader.reader import Reader
from pipeline.plan import ConvertOptions, Identity
from pipeline.schema import RoleOptions
from support.documents import document, fenced
from support.texts import numbered_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BATCH = 100


@pytest.fixture(scope="module", autouse=True)
def small_row_groups() -> Iterator[None]:
    """Row groups of 256 records, so that a small dataset has many blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "ROW_GROUP_BYTES", 1)
        patch.setattr(order, "MAX_GROUPS_PER_BLOCK", 4)
        yield


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,000 records in both formats; the feature f1 is the weight."""
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "source.csv").write_text(numbered_text(3000))
    options = ConvertOptions(
        identity=Identity(shard_bytes=12_000),
        roles=RoleOptions(weight="f1"),
        formats=("parquet", "tfrecord"),
        num_workers=1,
    )
    convert(folder / "source.csv", folder / "shards", options)
    return folder / "shards"


def same(found: Any, expected: Any) -> bool:
    """Whether two iterables yield equal batches of equal types."""
    pairs = zip(found, expected, strict=True)
    return all(
        np.array_equal(mine, yours) and mine.dtype.as_numpy_dtype == yours.dtype
        for mine_batch, yours_batch in pairs
        for mine, yours in zip(mine_batch, yours_batch, strict=True)
    )


@pytest.mark.parametrize("shard_format", ["parquet", "tfrecord"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"epoch": 3},
        {"shuffle": False},
        {"rank": 1, "world_size": 3},
        {"drop_remainder": True, "world_size": 2},
        {"first_batch": 7},
        {"num_threads": 4},
    ],
    ids=str,
)
def test_the_batches_are_those_of_numpy(shards: Path, shard_format: Any, options: dict[str, Any]) -> None:
    """Features, label and weight, batch by batch; and their number is known beforehand."""
    arguments = {"seed": 5, "shard_format": shard_format} | options
    expected = list(batches(shards, "train", BATCH, **arguments))
    found = dataset(shards, "train", BATCH, **arguments)
    assert same(found, expected)
    assert int(found.cardinality()) == len(expected)


def test_a_dataset_can_be_read_again(shards: Path) -> None:
    """Two passes over one dataset give the same batches: an epoch is a function of its number."""
    found = dataset(shards, "train", BATCH, seed=5)
    assert same(found, list(batches(shards, "train", BATCH, seed=5)))
    assert same(found, list(batches(shards, "train", BATCH, seed=5)))


def test_shapes_are_known_but_for_the_batch(shards: Path) -> None:
    """Keras sees the number of features before the first batch."""
    spec = dataset(shards, "train", BATCH, seed=5).element_spec
    assert [part.shape.as_list() for part in spec] == [[None, 2], [None], [None]]


def test_nothing_is_kept_of_a_dataset_that_is_gone(shards: Path) -> None:
    """Of datasets read in part or whole no reader with its blocks is left: epochs do not pile up."""
    for epoch, num_batches in enumerate((1, 10, 24)):
        found = iter(dataset(shards, "train", BATCH, seed=5, epoch=epoch).take(num_batches))
        gc.collect()  # the iterator alone must keep alive what it reads from
        assert sum(1 for _ in found) == num_batches
    del found
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Reader)]


def test_a_damaged_shard_ends_the_iteration(shards: Path, tmp_path: Path) -> None:
    """TensorFlow's error names the shard and says what is wrong."""
    tf = backend.tensorflow()
    for path in shards.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = next(tmp_path.glob("train-00002-*.parquet"))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(tf.errors.OpError, match=f"ShardError.*{path.name}"):
        list(dataset(tmp_path, "train", BATCH, seed=5))


def test_the_example_in_the_docs_runs(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of the page run as they stand, beside a folder `shards`; those of PyTorch last."""
    examples = fenced(document("docs/loader.md"), "python")
    has_torch = importlib.util.find_spec("torch") is not None
    example = "".join(examples if has_torch else examples[:-1])
    monkeypatch.chdir(shards.parent)
    weighted = example.replace("features, label in", "features, label, _ in")  # these shards have weights
    exec(compile(weighted, "docs/loader.md", "exec"), {})  # noqa: S102  # our own document


def test_wrong_values_are_refused_at_once(shards: Path) -> None:
    """An unknown split is an error of ours, before TensorFlow is asked for anything."""
    with pytest.raises(OptionError, match="training"):
        dataset(shards, "training", BATCH, seed=5)


def test_without_tensorflow_the_extra_is_named(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where TensorFlow is not installed, the error says how to install it."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtraError) as caught:
        dataset(shards, "train", BATCH, seed=5)
    assert "[train]" in caught.value.hint
