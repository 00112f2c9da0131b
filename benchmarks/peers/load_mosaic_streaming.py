"""MosaicML Streaming over its own format on the local disk, shuffled, by a DataLoader with two workers.

The records are written once to FOLDER, one vector of floats each; that is not measured. See rate.py.
"""

from __future__ import annotations

import sys
import types
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import rate
from torch.utils.data import DataLoader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# streaming imports torchvision, whose wheels are those of CUDA machines and cannot be loaded on others. No
# image is read here, so empty modules take its place.
for name in ("torchvision", "torchvision.datasets", "torchvision.transforms.functional"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__spec__ = ModuleSpec(name, None)
sys.modules["torchvision.datasets"].VisionDataset = object
sys.modules["torchvision.transforms.functional"].to_tensor = None
import streaming  # noqa: E402  # not before

NUM_WORKERS = 2


def write(shards: Path, folder: Path) -> None:
    """Write the train split in the format of the library."""
    first = np.asarray(pq.read_table(next(shards.glob("train-*.parquet"))).num_columns)
    columns = {"features": f"ndarray:float32:{int(first) - 1}", "label": "int"}
    with streaming.MDSWriter(out=str(folder), columns=columns) as writer:
        for path in sorted(shards.glob("train-*.parquet")):
            table = pq.read_table(path)
            label = table.column("label").to_numpy()
            names = [name for name in table.column_names if name != "label"]
            features = np.stack([table.column(name).to_numpy() for name in names], axis=1)
            for row, value in zip(features, label.tolist(), strict=True):
                writer.write({"features": row, "label": value})


def main() -> None:
    """Measure."""
    given = rate.arguments()
    folder = given.folder / "mosaic"
    if not (folder / "index.json").exists():
        write(given.shards, folder)
    streaming.base.util.clean_stale_shared_memory()
    read = streaming.StreamingDataset(
        local=str(folder), shuffle=True, shuffle_seed=42, batch_size=given.batch_size
    )
    batches = DataLoader(read, batch_size=given.batch_size, num_workers=NUM_WORKERS)

    def epoch(_index: int) -> Iterator[int]:
        for batch in batches:
            yield len(batch["label"])

    rate.report(given, epoch, streaming.__version__)


if __name__ == "__main__":
    main()
