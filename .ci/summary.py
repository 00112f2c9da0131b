"""Prints what `make demo` made and where to look, from the manifest and the metrics alone."""  # noqa: INP001  # a script, not a package

from __future__ import annotations

import json
from pathlib import Path

SHARDS, MODEL = Path("shards"), Path("model")
FIGURES = ("accuracy", "auc", "precision", "recall", "mae", "rmse", "r2", "loss")

NEXT = """\
Look at
  model/accuracy.png, model/loss.png     the epochs
  report/shards.html, report/model.html  a page about the data, and one about the model
  evaluation/roc.png, slices.png, …      the model on records it has not seen, also by mass
  dvc metrics show, dvc plots show       the same, as DVC keeps it
  tensorboard --logdir model/logs        the same, in a browser

Go on (after: . .venv/bin/activate)
  dvc exp run -S train.epochs=3          another training; then: dvc exp show
  pipeline --help                        each step on its own
  data/README.md                         your own CSV, or the real HEPMASS\
"""


def main() -> None:
    """Print the summary."""
    manifest = json.loads((SHARDS / "manifest.json").read_text(encoding="utf-8"))
    metrics = json.loads((MODEL / "metrics.json").read_text(encoding="utf-8"))
    shards = [shard for split in manifest["splits"].values() for shard in split["shards"]]
    sizes = ", ".join(f"{split['records']:,} {name}" for name, split in manifest["splits"].items())
    source = manifest["source"]["files"][0]
    figures = ", ".join(f"{name} {metrics[name]:.4f}" for name in FIGURES if metrics.get(name) is not None)
    print()  # noqa: T201  # what this script is for
    for name, num_bytes, meaning in (
        (source["path"], source["bytes"], f"{source['records']:,} records as text"),
        (f"{SHARDS}/", sum(shard["bytes"] for shard in shards), f"{len(shards)} shards: {sizes}"),
        (f"{MODEL}/model.keras", (MODEL / "model.keras").stat().st_size, "takes raw records"),
    ):
        print(f"{name:<20} {num_bytes / 1e6:7.1f} MB   {meaning}")  # noqa: T201
    print(f"\nOn {metrics['records']:,} {metrics['split']} records: {figures}\n\n{NEXT}")  # noqa: T201


if __name__ == "__main__":
    main()
