"""Batches for PyTorch: those of NumPy, in their order, for any number of workers."""

from __future__ import annotations

import importlib
import itertools
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline import plan
from pipeline.convert import convert
from pipeline.errors import MissingExtraError, OptionError
from pipeline.loader import batches, order, torch_dataset
from pipeline.plan import ConvertOptions, Identity
from pipeline.schema import RoleOptions
from support.texts import numbered_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BATCH = 100

# PyTorch warns of more workers than cores; the tests run on any machine.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
UNPATCHED = order.MAX_GROUPS_PER_BLOCK


@pytest.fixture(scope="module", autouse=True)
def small_row_groups() -> Iterator[None]:
    """Row groups of 256 records and blocks of four of them, so that a small dataset has many blocks."""
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


@pytest.fixture(scope="module")
def data() -> Any:
    """The module `torch.utils.data`."""
    pytest.importorskip("torch")
    return importlib.import_module("torch.utils.data")


def arrays(found: Iterable[Any]) -> list[tuple[np.ndarray, ...]]:
    """Return batches of tensors as arrays."""
    return [tuple(part.numpy() for part in batch) for batch in found]


def same(found: Iterable[Any], expected: Iterable[Any]) -> bool:
    """Whether the batches are equal, types and all, and equally many."""
    return all(
        mine is not None
        and yours is not None
        and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(mine, yours, strict=True))
        for mine, yours in itertools.zip_longest(found, expected)
    )


@pytest.mark.parametrize("shard_format", ["parquet", "tfrecord"])
@pytest.mark.parametrize(
    "options",
    [{}, {"epoch": 3}, {"shuffle": False}, {"rank": 1, "world_size": 3}, {"first_batch": 7}],
    ids=str,
)
@pytest.mark.usefixtures("data")
def test_the_batches_are_those_of_numpy(shards: Path, shard_format: Any, options: dict[str, Any]) -> None:
    """Features, label and weight as tensors, batch by batch; their number is the length."""
    asked = {"seed": 5, "shard_format": shard_format} | options
    found = torch_dataset(shards, "train", BATCH, **asked)
    expected = list(batches(shards, "train", BATCH, **asked))
    assert len(found) == len(expected)
    assert same(arrays(found), expected)


@pytest.mark.parametrize("num_workers", [0, 1, 2, 4])
@pytest.mark.parametrize("options", [{}, {"shuffle": False}], ids=str)
def test_workers_change_nothing(shards: Path, data: Any, num_workers: int, options: dict[str, Any]) -> None:
    """With any number of workers a DataLoader yields the batches of the epoch, each once, in their order."""
    found = torch_dataset(shards, "train", BATCH, seed=5, epoch=2, **options)
    loader = data.DataLoader(found, batch_size=None, num_workers=num_workers)
    assert same(arrays(loader), batches(shards, "train", BATCH, seed=5, epoch=2, **options))
    assert len(loader) == 24


@pytest.mark.parametrize("num_workers", [3, 40])
@pytest.mark.usefixtures("data")
def test_workers_divide_the_batches_in_turns(shards: Path, num_workers: int, monkeypatch: Any) -> None:
    """Worker w of n makes the batches w, w + n …; of more workers than batches the last make none."""
    data = importlib.import_module("torch.utils.data")
    found = torch_dataset(shards, "train", BATCH, seed=5)
    whole = list(batches(shards, "train", BATCH, seed=5))
    for worker in range(num_workers):
        info = type("Info", (), {"id": worker, "num_workers": num_workers})
        monkeypatch.setattr(data, "get_worker_info", lambda info=info: info)
        assert same(arrays(found), whole[worker::num_workers])


def test_ranks_and_workers_together_partition_an_epoch(shards: Path, data: Any) -> None:
    """Two ranks with two workers each: the share of one, then that of the other, is the epoch."""
    ids = [
        float(value)
        for rank in (0, 1)
        for features, *_ in data.DataLoader(
            torch_dataset(shards, "train", BATCH, seed=5, epoch=2, rank=rank, world_size=2),
            batch_size=None,
            num_workers=2,
        )
        for value in features[:, 0]
    ]
    whole = batches(shards, "train", BATCH, seed=5, epoch=2)
    assert ids == [float(value) for features, *_ in whole for value in features[:, 0]]


def test_a_new_epoch_reaches_persistent_workers(shards: Path, data: Any) -> None:
    """`set_epoch` is seen by workers that were started before, and by those started anew."""
    found = torch_dataset(shards, "train", BATCH, seed=5, first_batch=20)
    loader = data.DataLoader(found, batch_size=None, num_workers=2, persistent_workers=True)
    assert same(arrays(loader), batches(shards, "train", BATCH, seed=5, first_batch=20))
    for epoch in (1, 2):
        found.set_epoch(epoch)
        assert same(arrays(loader), batches(shards, "train", BATCH, seed=5, epoch=epoch))
        assert found.state(3).epoch == epoch


@pytest.mark.slow
def test_workers_may_be_spawned(shards: Path, data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset can be sent to processes that are not copies of this one, and they hear of a new epoch."""
    monkeypatch.setattr(order, "MAX_GROUPS_PER_BLOCK", UNPATCHED)
    found = torch_dataset(shards, "train", BATCH, seed=5)
    loader = data.DataLoader(found, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    found.set_epoch(1)
    assert same(arrays(loader), batches(shards, "train", BATCH, seed=5, epoch=1))


@pytest.mark.usefixtures("data")
def test_wrong_values_are_refused_at_once(shards: Path) -> None:
    """An unknown split is an error of the call, and a wrong epoch one of `set_epoch`."""
    with pytest.raises(OptionError, match="training"):
        torch_dataset(shards, "training", BATCH, seed=5)
    with pytest.raises(OptionError, match="epoch -1"):
        torch_dataset(shards, "train", BATCH, seed=5).set_epoch(-1)


def test_without_torch_the_extra_is_named(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyTorch is not installed, the error says how to install it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError) as caught:
        torch_dataset(shards, "train", BATCH, seed=5)
    assert "[torch]" in caught.value.hint
