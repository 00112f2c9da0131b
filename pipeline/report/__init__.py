"""The use case `report`: a dataset or a model → one HTML page that needs nothing else.

sketch    what must be known of a split, in one pass over its shards
shuffle   what chance allows, and what is there
dataset   the sections of a dataset
origin    its section on where records came from
model     the sections of a model
svg       drawings
page      the page around them
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.counted import counted
from pipeline.keys import SPLITS
from pipeline.loader.check import check_dataset
from pipeline.models import description as descriptions
from pipeline.partial import check_file, written_anew
from pipeline.progress import SILENT
from pipeline.report import dataset, model
from pipeline.report.page import page
from pipeline.report.sketch import MAX_RECORDS, sketch_split

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.progress import Progress


def report_dataset(
    shards: Path, output: Path, *, overwrite: bool = False, progress: Progress = SILENT
) -> None:
    """Write the page about the dataset in the folder `shards`; reads at most 4 million records of each split.

    Raises:
        DatasetError: there is no dataset, or a shard of it is damaged.
        TargetExistsError: the page is there, and `overwrite` is not set.
        AccessError: the page may not be written.
    """
    check_file(output, overwrite=overwrite)
    manifest = check_dataset(shards)
    total = sum(min(split.records, MAX_RECORDS) for split in manifest.splits.values())
    progress.start("reading", total=total, unit="records")
    sketches = {
        name: sketch_split(shards, manifest, name, progress)
        for name in SPLITS
        if name in manifest.splits and manifest.splits[name].records
    }
    progress.finish()
    num_features = len(manifest.features) + len(manifest.categories)
    subtitle = f"{counted(manifest.records.written, 'record')}, {counted(num_features, 'feature')}"
    found = dataset.sections(manifest, sketches)
    _write(output, page(f"Dataset {shards.resolve().name}", subtitle, found), overwrite=overwrite)


def report_model(
    folder: Path, output: Path, *, evaluation: Path | None = None, overwrite: bool = False
) -> None:
    """Write the page about the model in `folder`, with what `evaluation` says of it.

    Raises:
        ModelError: there is no model, or a file cannot be used.
        TargetExistsError: the page is there, and `overwrite` is not set.
        AccessError: the page may not be written.
    """
    check_file(output, overwrite=overwrite)
    description = descriptions.load(folder)
    subtitle = f"predicts {description.label} from {counted(len(description.inputs), 'column')}"
    found = model.sections(folder, description, evaluation)
    _write(output, page(f"Model {folder.resolve().name}", subtitle, found), overwrite=overwrite)


def _write(output: Path, text: str, *, overwrite: bool) -> None:
    with written_anew(output, overwrite=overwrite) as file:
        file.write(text.encode())
