"""Law: a reader restored from its state goes on exactly where it stood, at every step of an epoch."""

from __future__ import annotations

import importlib
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import plan
from pipeline.convert import convert
from pipeline.errors import OptionError, OptionsChangedError
from pipeline.loader import LoaderState, batches, dataset, order, torch_dataset
from pipeline.plan import ConvertOptions, Identity
from pipeline.schema import RoleOptions
from support.texts import numbered_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy as np

    Batch = tuple[np.ndarray, ...]

BATCH = 100
FORMATS = ("parquet", "tfrecord")
OPTIONS: list[dict[str, Any]] = [
    {"epoch": 2},
    {"epoch": 3, "rank": 1, "world_size": 2, "drop_remainder": True},
    {"shuffle": False},
]


@pytest.fixture(scope="module", autouse=True)
def small_row_groups() -> Iterator[None]:
    """Row groups of 256 records and blocks of four of them, so that an epoch crosses many borders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "ROW_GROUP_BYTES", 1)
        patch.setattr(order, "MAX_GROUPS_PER_BLOCK", 4)
        yield


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,000 records in both formats, in three train shards; the feature f1 is the weight."""
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "source.csv").write_text(numbered_text(3000))
    convert(
        folder / "source.csv",
        folder / "shards",
        ConvertOptions(
            identity=Identity(shard_bytes=16_000),
            roles=RoleOptions(weight="f1"),
            formats=("parquet", "tfrecord"),
            num_workers=1,
        ),
    )
    return folder / "shards"


def same(found: Iterable[Batch], expected: Iterable[Batch]) -> bool:
    """Whether two sequences of batches are the same to the last bit, types and all."""
    pairs = list(itertools.zip_longest(found, expected))
    return all(
        mine is not None
        and yours is not None
        and [(part.dtype, part.tobytes()) for part in mine]
        == [(part.dtype, part.tobytes()) for part in yours]
        for mine, yours in pairs
    )


def as_arrays(found: Iterable[Any]) -> Iterator[Batch]:
    """Yield batches of tensors as arrays."""
    for batch in found:
        yield tuple(part.numpy() for part in batch)


def from_workers(found: Any, num_workers: int) -> Iterator[Batch]:
    """Yield the batches that worker processes of PyTorch make, as arrays."""
    torch_data = importlib.import_module("torch.utils.data")
    return as_arrays(torch_data.DataLoader(found, batch_size=None, num_workers=num_workers))


@pytest.mark.parametrize("shard_format", FORMATS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_numpy_goes_on_at_every_step(shards: Path, options: dict[str, Any], shard_format: Any) -> None:
    """After any number of batches, none and all among them, the rest of the epoch is the same."""
    asked = {"seed": 5, "shard_format": shard_format} | options
    whole = [tuple(part.copy() for part in batch) for batch in batches(shards, "train", BATCH, **asked)]
    read = batches(shards, "train", BATCH, **asked)
    for step in range(len(whole) + 1):
        state = LoaderState.from_json(read.state().to_json())
        assert (state.epoch, state.next_batch) == (options.get("epoch", 0), step)
        rest = batches(shards, "train", BATCH, **asked | {"epoch": 0}, restore=state)
        assert len(rest) == len(whole) - step
        assert same(rest, whole[step:])
        next(read, None)


@pytest.mark.parametrize("shard_format", FORMATS)
def test_tf_data_goes_on_at_every_step(shards: Path, shard_format: Any) -> None:
    """A tf.data pipeline restored after any number of batches gives the rest, and knows how many they are."""
    asked = {"seed": 5, "shard_format": shard_format}
    read = dataset(shards, "train", BATCH, epoch=2, **asked)
    whole = list(as_arrays(read))
    for step in range(len(whole) + 1):
        rest = dataset(shards, "train", BATCH, **asked, restore=read.state(step))
        assert int(rest.cardinality()) == len(whole) - step
        assert same(as_arrays(rest), whole[step:])


@pytest.mark.parametrize("shard_format", FORMATS)
def test_torch_goes_on_at_every_step(shards: Path, shard_format: Any) -> None:
    """An IterableDataset restored after any number of batches gives the rest, and has their number."""
    pytest.importorskip("torch")
    asked = {"seed": 5, "shard_format": shard_format}
    read = torch_dataset(shards, "train", BATCH, epoch=2, **asked)
    whole = list(as_arrays(read))
    for step in range(len(whole) + 1):
        rest = torch_dataset(shards, "train", BATCH, **asked, restore=read.state(step))
        assert len(rest) == len(whole) - step
        assert same(as_arrays(rest), whole[step:])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_torch_workers_go_on_at_every_step(shards: Path) -> None:
    """As above, the batches taken from two workers and the rest from three."""
    pytest.importorskip("torch")
    read = torch_dataset(shards, "train", BATCH, epoch=2, seed=5)
    for step in range(len(read) + 1):
        begun = list(itertools.islice(from_workers(read, 2), step))
        rest = torch_dataset(shards, "train", BATCH, seed=5, restore=read.state(step))
        assert same([*begun, *from_workers(rest, 3)], batches(shards, "train", BATCH, epoch=2, seed=5))


def test_states_are_those_of_every_way_to_read(shards: Path) -> None:
    """A state of tf.data over Parquet, restored as NumPy from TFRecord with other threads, goes on there."""
    read = dataset(shards, "train", BATCH, seed=5, epoch=1, shard_format="parquet")
    rest = batches(
        shards, "train", BATCH, seed=5, shard_format="tfrecord", num_threads=4, restore=read.state(11)
    )
    assert same(rest, batches(shards, "train", BATCH, seed=5, epoch=1, first_batch=11))


def test_a_restored_reader_has_states_too(shards: Path) -> None:
    """Interrupted twice: the second state counts from the beginning of the epoch."""
    first = batches(shards, "train", BATCH, seed=5, epoch=1)
    next(first)
    second = batches(shards, "train", BATCH, seed=5, restore=first.state())
    next(second)
    assert (second.state().epoch, second.state().next_batch) == (1, 2)


def test_a_state_within_a_large_batch_is_not_lost_in_blocks(shards: Path) -> None:
    """Batches larger than a block, and one larger than the split, are restored as well."""
    for batch_size in (1500, 5000):
        whole = list(batches(shards, "train", batch_size, seed=5))
        for step in range(len(whole) + 1):
            read = batches(shards, "train", batch_size, seed=5)
            list(itertools.islice(read, step))
            assert same(batches(shards, "train", batch_size, seed=5, restore=read.state()), whole[step:])


def test_another_dataset_or_other_options_are_refused(shards: Path, tmp_path: Path) -> None:
    """A state of these records is no state of others, nor of another batch size; both are said."""
    state = batches(shards, "train", BATCH, seed=5).state()
    with pytest.raises(OptionsChangedError, match=r"batch_size was 100, is 200; seed was 5, is 6$"):
        batches(shards, "train", 200, seed=6, restore=state)
    (tmp_path / "source.csv").write_text(numbered_text(300, seed=1))
    convert(tmp_path / "source.csv", tmp_path / "shards", ConvertOptions(num_workers=1))
    for read in (batches, dataset):
        with pytest.raises(OptionsChangedError, match=r"fingerprint was '[0-9a-f]{64}', is"):
            read(tmp_path / "shards", "train", BATCH, seed=5, restore=state)


def test_a_step_beyond_the_epoch_is_refused(shards: Path) -> None:
    """No state is made of batches that are not there."""
    read = dataset(shards, "train", BATCH, seed=5)
    with pytest.raises(OptionError, match="num_batches 25: expected 0 to 24"):
        read.state(25)
