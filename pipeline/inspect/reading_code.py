"""Owns code that reads a dataset with the tools people use, made for the dataset at hand, to be pasted.

Each piece works as it stands, in the folder from which the dataset is named as it is here; a test runs them
all. None needs this package but those that say so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.manifest import Manifest

BATCH_SIZE = 1024
TF_DTYPES = {"int64": "int64", "float64": "float32", "string": "string"}  # of a kept column in an Example


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingCode:
    """A piece of Python that reads the train split: what it is called, in words, and the code."""

    name: str
    title: str
    code: str


def reading_code(manifest: Manifest, folder: str) -> tuple[ReadingCode, ...]:
    """Return code for every tool that can read the formats of the dataset in `folder`."""
    made = _Maker(manifest, folder.rstrip("/") or "/")
    pieces = [
        ReadingCode(name="tensorflow", title="TensorFlow, by our loader", code=made.by_loader("dataset")),
        ReadingCode(name="pytorch", title="PyTorch, by our loader", code=made.pytorch()),
        ReadingCode(name="numpy", title="NumPy, by our loader", code=made.by_loader("batches")),
    ]
    if "tfrecord" in manifest.formats:
        title = "TensorFlow alone, from TFRecord"
        pieces.insert(1, ReadingCode(name="tfrecord", title=title, code=made.tfrecord()))
    if "parquet" in manifest.formats:
        pieces += made.from_parquet()
    title = "scikit-learn's scaler, for raw rows"
    return (*pieces, ReadingCode(name="scikit-learn", title=title, code=made.scaler()))


class _Maker:
    """Makes code for one dataset; whatever is named in it becomes a literal of Python."""

    def __init__(self, manifest: Manifest, folder: str) -> None:
        self._manifest = manifest
        self._folder = folder
        self._label_dtype = "int64" if manifest.label.kind == "classes" else "float32"

    def by_loader(self, function: str) -> str:
        """Return code that reads batches with a function of `pipeline.loader`."""
        return (
            f"from pathlib import Path\n\nfrom pipeline.loader import {function}\n\n"
            f"shards = Path({_literal(self._folder)})\n"
            "for epoch in range(2):\n"
            f'    for {self._batch} in {function}(shards, "train", {BATCH_SIZE}, seed=42, epoch=epoch):\n'
            f"        pass  # {self._shapes}\n"
        )

    def pytorch(self) -> str:
        """Return code that reads batches as tensors, by worker processes."""
        return (
            "from pathlib import Path\n\nfrom torch.utils.data import DataLoader\n\n"
            "from pipeline.loader import torch_dataset\n\n"
            f'train = torch_dataset(Path({_literal(self._folder)}), "train", {BATCH_SIZE}, seed=42)\n'
            "for epoch in range(2):\n    train.set_epoch(epoch)\n"
            f"    for {self._batch} in DataLoader(train, batch_size=None, num_workers=2):\n"
            f"        pass  # {self._shapes}\n"
        )

    @property
    def _batch(self) -> str:
        return "features, label, weight" if self._manifest.weight else "features, label"

    @property
    def _shapes(self) -> str:
        num_columns = len(self._manifest.inputs)
        return f"features: float32 (batch, {num_columns}); label: {self._label_dtype} (batch,)"

    def tfrecord(self) -> str:
        """Return code that reads batches of TFRecord with TensorFlow and nothing else."""
        dtypes = {"label": self._label_dtype} | ({"weight": "float32"} if self._manifest.weight else {})
        others = (c for c in self._manifest.columns if c.role in {"category", "keep"})
        dtypes |= {column.name: TF_DTYPES[column.dtype] for column in others}
        entries = [
            f"    {_literal(name)}: tf.io.FixedLenFeature([], tf.{dtype}),\n"
            for name, dtype in dtypes.items()
        ]
        is_packed = self._manifest.options.get("compression") == "gzip"
        packed = ', compression_type="GZIP"' if is_packed else ""
        return (
            "import tensorflow as tf\n\nspec = {\n"
            f'    "features": tf.io.FixedLenFeature([{len(self._manifest.features)}], tf.float32),\n'
            f"{''.join(entries)}}}\n"
            f"paths = sorted(tf.io.gfile.glob({_literal(self._shards('tfrecord'))}))\n"
            f"records = tf.data.TFRecordDataset(paths{packed})\n"
            f"for batch in records.batch({BATCH_SIZE}).map(lambda batch: tf.io.parse_example(batch, spec)):\n"
            '    features, label = batch["features"], batch["label"]\n'
        )

    def from_parquet(self) -> Iterator[ReadingCode]:
        """Yield code for everything that reads Parquet by itself."""
        shards = self._shards("parquet")
        listed = f"sorted(glob({_literal(shards)}))"
        quoted = '"' + self._manifest.label.name.replace('"', '""') + '"'
        pieces = {
            (
                "polars",
                "Polars",
            ): f"import polars\n\ntrain = polars.scan_parquet({_literal(shards)}).collect()\n",
            ("duckdb", "DuckDB"): (
                f"import duckdb\n\ntrain = duckdb.read_parquet({_literal(shards)})\n"
                f"print(train.aggregate({_literal(f'{quoted}, count(*) as records')}))\n"
            ),
            ("huggingface", "Hugging Face"): (
                "from datasets import load_dataset\n\n"
                f"dataset = load_dataset({_literal(self._folder + '/')})\n"
                'train = dataset["train"]  # and "validation", "test"\n'
            ),
            ("pandas", "pandas"): (
                "from glob import glob\n\nimport pandas\n\n"
                f"train = pandas.concat(map(pandas.read_parquet, {listed}), ignore_index=True)\n"
            ),
            ("dask", "Dask"): (
                f"import dask.dataframe\n\ntrain = dask.dataframe.read_parquet({_literal(shards)})\n"
            ),
            ("pyarrow", "pyarrow"): (
                "from glob import glob\n\nimport pyarrow.dataset\n\n"
                f"train = pyarrow.dataset.dataset({listed}).to_table()\n"
            ),
        }
        for (name, title), code in pieces.items():
            yield ReadingCode(name=name, title=title, code=code)

    def _shards(self, form: str) -> str:
        return f"{self._folder}/train-*.{form}"

    def scaler(self) -> str:
        """Return code that makes a StandardScaler do to raw rows what was done to those in the shards."""
        return f"""\
import json

import numpy as np
from sklearn.preprocessing import StandardScaler

with open({_literal(f"{self._folder}/manifest.json")}) as file:
    features = [column for column in json.load(file)["columns"] if column["role"] == "feature"]
moments = [column["moments"] for column in features]
scaler = StandardScaler()
scaler.feature_names_in_ = np.array([column["name"] for column in features], dtype=object)
scaler.n_features_in_ = len(features)
scaler.mean_ = np.array([m["mean"] for m in moments])
scaler.scale_ = np.array([m["std"] if m["min"] != m["max"] else 1.0 for m in moments])
scaler.var_ = scaler.scale_**2
"""


def _literal(text: str) -> str:
    """Return a literal of Python, in double quotes where they need no escapes."""
    return json.dumps(text, ensure_ascii=False) if text.isprintable() and '"' not in text else repr(text)
