"""Others read the shards: each library with the very code that `pipeline inspect` shows for it."""

from __future__ import annotations

import contextlib
import textwrap
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.convert import convert
from pipeline.inspect import inspect_dataset
from pipeline.plan import ConvertOptions, Identity
from pipeline.schema import RoleOptions
from support import trained
from support.documents import run_script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

SPLITS = {"train": "train", "validation": "val", "test": "test"}  # Hugging Face's names and ours
FEATURES = ["a", "time", "mass", "flat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder with a dataset in `shards`, the rows it came from, and the code that reads it."""

    path: Path
    columns: trained.Columns
    code: dict[str, str]

    def shards(self, split: str) -> list[Path]:
        """Return the Parquet shards of a split, in order."""
        return sorted((self.path / "shards").glob(f"{split}-*.parquet"))

    def table(self, split: str) -> pa.Table:
        """Return a split as one table."""
        return pa.concat_tables([pq.read_table(path) for path in self.shards(split)])

    def raw(self, split: str) -> pd.DataFrame:
        """Return the features of a split as they stand in the CSV, found by what was kept."""
        rows = pd.DataFrame({name: self.columns[name] for name in FEATURES}, index=self.columns["id"])
        return rows.loc[self.table(split)["id"].to_pylist()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """The working directory: beside several shards a split lie rejects, a manifest, shards of TFRecord."""
    path = tmp_path_factory.mktemp("test train")  # names that a reader might take for those of splits
    columns = trained.table(1000)
    (path / "raw.csv").write_text(trained.csv_text(columns) + "a row that is none\n")
    options = ConvertOptions(
        identity=Identity(split=trained.SPLIT, shard_bytes=4000, on_bad_row="skip"),
        roles=RoleOptions(keep=trained.KEPT),
        formats=("parquet", "tfrecord"),
        num_workers=1,
    )
    convert(path / "raw.csv", path / "shards", options)
    assert {"manifest.json", "rejects.jsonl"} < {entry.name for entry in (path / "shards").iterdir()}
    with contextlib.chdir(path):
        code = {piece.name: piece.code for piece in inspect_dataset("shards/").code}
        yield Folder(path=path, columns=columns, code=code)


def run(code: str, **given: Any) -> dict[str, Any]:
    """Run `code` and return the names it leaves; the warnings of other libraries are theirs."""
    names = dict(given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, "read.py", "exec"), names)  # noqa: S102  # that it runs is what is tested
    return names


def in_order(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows of a matrix in an order of their own."""
    return features[np.lexsort(features.T)]


@pytest.mark.parametrize("name", ["tensorflow", "pytorch", "numpy"])
def test_our_loader_gives_two_epochs(name: str, folder: Folder) -> None:
    """The code reads every record of the train split once in each of its two epochs."""
    if name == "pytorch":
        pytest.importorskip("torch")
    seen: list[tuple[Any, Any]] = []
    code = folder.code[name].replace("pass  #", "seen.append((features, label))  #")
    run(code, seen=seen)
    features = np.concatenate([np.asarray(part) for part, _ in seen])
    train = folder.table("train").select(FEATURES).to_pandas().to_numpy()
    assert np.array_equal(in_order(features), in_order(np.concatenate([train, train])))
    assert {np.asarray(label).dtype for _, label in seen} == {np.dtype(np.int64)}


def test_plain_tensorflow_reads_tfrecord(folder: Folder) -> None:
    """Ten lines of TensorFlow read every feature and label, and what was kept, in the order of the shards."""
    code = folder.code["tfrecord"]
    assert len(textwrap.dedent(code).strip().splitlines()) <= 10 + len(trained.KEPT)
    seen: list[dict[str, Any]] = []
    run(code + "    seen.append({name: value.numpy() for name, value in batch.items()})\n", seen=seen)
    found = {name: np.concatenate([batch[name] for batch in seen]) for name in seen[0]}
    train = folder.table("train")
    assert np.array_equal(found["features"], train.select(FEATURES).to_pandas().to_numpy())
    assert found["label"].tolist() == train["label"].to_pylist()
    assert found["id"].tolist() == train["id"].to_pylist()
    assert [name.decode() for name in found["name"]] == train["name"].to_pylist()
    assert np.array_equal(found["level"], train["level"].to_numpy().astype(np.float32))


@pytest.mark.parametrize("form", ["parquet", "tfrecord"])
def test_numbers_and_weights_are_read_too(form: Any, folder: Folder) -> None:
    """A dataset with weights, a number to predict and packed shards has code that fits it."""
    columns = trained.quantity() | {"w": np.linspace(0.5, 1.5, 1000)}
    source = folder.path / f"{form}.csv"
    source.write_text(trained.csv_text(columns))
    options = ConvertOptions(
        identity=Identity(shard_bytes=9000, compression="zstd" if form == "parquet" else "gzip"),
        roles=RoleOptions(keep=trained.KEPT, weight="w"),
        formats=(form,),
        num_workers=1,
    )
    convert(source, folder.path / form, options)
    code = {piece.name: piece.code for piece in inspect_dataset(form).code}
    assert ("tfrecord" in code, "polars" in code) == (form == "tfrecord", form == "parquet")
    seen: list[tuple[Any, ...]] = []
    run(code["numpy"].replace("pass  #", "seen.append((features, label, weight))  #"), seen=seen)
    wanted = np.sort(np.float32(columns["w"]))
    assert np.isin(np.concatenate([weight for _, _, weight in seen]), wanted).all()
    if form == "tfrecord":
        names = run(code["tfrecord"])
        assert set(names["batch"]) == {"features", "label", "weight", *trained.KEPT}
        assert names["label"].dtype == "float32"


def test_polars_reads_the_shards(folder: Folder) -> None:
    """A pattern of Polars gives the records of a split in their order."""
    assert run(folder.code["polars"])["train"].to_dict(as_series=False) == folder.table("train").to_pydict()


def test_duckdb_reads_the_shards(folder: Folder) -> None:
    """A pattern of DuckDB gives the records of a split in their order."""
    train = run(folder.code["duckdb"])["train"]
    assert train.columns == folder.table("train").column_names
    assert train.fetchall() == list(zip(*folder.table("train").to_pydict().values(), strict=True))


def test_pandas_reads_the_shards(folder: Folder) -> None:
    """The frame has the columns of the CSV, no index of its own, and every record."""
    train = run(folder.code["pandas"])["train"]
    assert list(train.index) == list(range(600))
    assert train.to_dict("list") == folder.table("train").to_pydict()


def test_dask_reads_the_shards(folder: Folder) -> None:
    """Dask makes partitions of the shards, and of them the same table."""
    train = run(folder.code["dask"])["train"]
    assert train.npartitions == len(folder.shards("train")) > 1
    computed = run("computed = train.compute()", train=train)["computed"]
    assert computed.to_dict("list") == folder.table("train").to_pydict()


def test_pyarrow_reads_the_shards(folder: Folder) -> None:
    """A dataset of pyarrow is the same table; no column is nullable by surprise."""
    train = run(folder.code["pyarrow"])["train"]
    assert train.to_pydict() == folder.table("train").to_pydict()
    assert all(column.null_count == 0 for column in train.columns)


def test_hugging_face_finds_three_splits(folder: Folder, tmp_path: Path) -> None:
    """`load_dataset` gives three splits with the right records, whatever else lies in the folder."""
    check = (
        "import json\nprint('\\n' + json.dumps({name: [split.num_rows, split['id'][:], split['time'][:]]"
        " for name, split in dataset.items()}))\n"
    )
    (tmp_path / "read.py").write_text(folder.code["huggingface"] + check)
    env = f"export HF_HUB_OFFLINE=1 HF_HOME={tmp_path / 'cache'}; "
    printed = run_script(f"{env} cd '{folder.path}'; python {tmp_path / 'read.py'}", tmp_path)
    found = run(f"import json\nfound = json.loads({printed.splitlines()[-1]!r})")["found"]
    assert set(found) == set(SPLITS)
    for theirs, ours in SPLITS.items():
        num_rows, identifiers, times = found[theirs]
        assert num_rows == len(identifiers)
        assert identifiers == folder.table(ours)["id"].to_pylist()
        assert times == folder.table(ours)["time"].to_pylist()


def test_scikit_learn_scales_raw_rows_alike(folder: Folder) -> None:
    """A StandardScaler made of the manifest does to raw rows, to the last bit, what was done to shards."""
    scaler = run(folder.code["scikit-learn"])["scaler"]
    for split in ("train", "val", "test"):
        rows = folder.raw(split)
        stored = folder.table(split).select(FEATURES).to_pandas().to_numpy()
        assert np.array_equal(scaler.transform(rows).astype(np.float32), stored)
        assert np.allclose(scaler.inverse_transform(scaler.transform(rows)), rows, rtol=1e-15, atol=1e-9)


def test_scikit_learn_would_have_learnt_the_same(folder: Folder) -> None:
    """A StandardScaler fitted to the raw rows of the train split has the moments of the manifest."""
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415  # a second to load

    ours = run(folder.code["scikit-learn"])["scaler"]
    theirs = StandardScaler().fit(folder.raw("train"))
    assert np.allclose(ours.mean_, theirs.mean_, rtol=1e-12, atol=0)
    assert np.allclose(ours.scale_, theirs.scale_, rtol=1e-7, atol=0)


def test_every_piece_of_code_is_run_here(folder: Folder) -> None:
    """No code is shown that no test runs."""
    run_here = {"tensorflow", "tfrecord", "pytorch", "numpy", "polars", "duckdb", "pandas", "dask", "pyarrow"}
    assert set(folder.code) == run_here | {"huggingface", "scikit-learn"}
