"""What helps a user is told: hints beside errors, counts, warnings in the manifest, missing extras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.command import ROOT, TIMEOUT_SECONDS, Command, Outcome
from support.datasets import convert_text, make_options
from support.fixtures import all_fixtures
from support.oracle import fsum_moments
from support.refusals import GOOD, assert_refused, converter

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def convert(
    tmp_path: Path, pipeline_command: Command, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """A function that writes raw.csv, converts it to shards/, and checks that a failure leaves nothing."""
    monkeypatch.chdir(tmp_path)
    return converter(tmp_path, pipeline_command)


def test_an_unreadable_file_is_told(convert: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read is told as such, with what helps; it is a fault of the machine."""

    def refuse(*_: object) -> bytes:
        raise PermissionError

    monkeypatch.setattr("pipeline.source.files._head", refuse)  # root may read everything
    outcome = convert(GOOD, "--quiet")
    assert_refused(outcome, "E504", "raw.csv: permission denied", hint="chmod u+r raw.csv", status=5)


def test_a_pipe_does_not_hang(
    pipeline_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named pipe, which nobody writes to, is refused instead of waited for."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.csv")
    assert_refused(pipeline_command("convert", "pipe.csv", "shards"), "E101", "pipe.csv: is no regular file")


@pytest.mark.parametrize(
    ("text", "wording", "hint"),
    [
        (GOOD.replace("label", "labels"), "no column is called 'label'", "did you mean 'labels'?"),
        (GOOD.replace("label", "Target"), "no column is called 'label'", "did you mean 'Target'?"),
        (GOOD.replace("label,mass,pt", "a,0.5,1.5"), "no column is called 'label'", "--no-header"),
        (GOOD.replace("label", "y"), "the columns are y, mass, pt", "pipeline inspect shows"),
        (GOOD.replace("label", "age"), "the columns are age, mass, pt", "pipeline inspect shows"),
    ],
)
def test_a_missing_label_has_a_hint(
    convert: Callable[..., Outcome], text: str, wording: str, hint: str
) -> None:
    """Where no column is called label, the nearest names are told, or that the first line may be data."""
    assert_refused(convert(text, "--quiet"), "E108", wording, hint=hint)


def test_missing_values_are_counted(convert: Callable[..., Outcome]) -> None:
    """The first missing value is told with its line and how many rows lack one: what to do depends on it."""
    text = GOOD + "0,,1\n" + "1,NA,1\n" * 6 + "0,1.5,?\n"
    wording = (
        "raw.csv:22: column 'mass': no value: found '', expected a number; 8 of 28 rows in this byte range"
    )
    assert_refused(convert(text, "--quiet"), "E104", wording, hint="--on-missing drop")


WARNINGS = {
    "one class": (
        GOOD.replace("\n1,", "\n0,"),
        (),
        "the label 'label' has one class only: 0, in all 20 records",
    ),
    "constant": (GOOD + "0,1.5,1\n", ("--label", "label", "--keep", "pt"), ""),
    "leftover label": (GOOD, ("--label", "pt"), "column 'label' is a feature, since the label is 'pt'"),
    "not for training": (
        "label,mass\n" + "".join(f"{at},{at}.5\n" for at in range(60)),
        ("--label-kind", "classes"),
        "classes of the label 'label' without a record in the train split: ",
    ),
    "split that is not named": (
        "label,pt,fold\n" + "0,1.5,train\n1,2.5,train\n0,3.5,test\n1,4.5,test\n" * 3,
        ("--split-by", "fold"),
        "the val split is empty: column 'fold' names it in no record",
    ),
    "open end": (GOOD[:-1], (), "raw.csv: the last line has no line end; is the file complete?"),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_what_is_no_fault_is_a_warning(convert: Callable[..., Outcome], tmp_path: Path, name: str) -> None:
    """What a person should know before training is told, and kept in the manifest; all else is not told."""
    text, options, wording = WARNINGS[name]
    outcome = convert(text, *options)
    assert outcome.status == 0
    warnings = json.loads((tmp_path / "shards/manifest.json").read_text())["warnings"]
    if wording:
        assert any(wording in warning for warning in warnings)
        assert f"warning: {wording}" in outcome.stdout
    else:
        assert warnings == []


CLOTHES = ("byte-order mark", "comment mark", "comment mark, no blank", "padded names", "quoted names")
OTHER_CLOTHES = ("CRLF", "byte-order mark and CRLF", "mixed line ends", "blanks around numbers")


def test_the_same_table_in_other_clothes(tmp_path: Path) -> None:
    """What the header wears leaves the shards as they are; what the text wears, the records and their order.

    The text itself is known by its digest, and shards by the fingerprint made of it.
    """
    fixtures = all_fixtures()
    clean = convert_text(fixtures["clothes: clean"].text, tmp_path / "clean", make_options())
    names = [path.name for path in clean.folder.glob("*.parquet")]
    assert len(names) == 3
    for name in CLOTHES:
        found = convert_text(fixtures[f"clothes: {name}"].text, tmp_path / name, make_options())
        assert {path: found.file_bytes()[path] for path in names} == {
            path: clean.file_bytes()[path] for path in names
        }
    for name in OTHER_CLOTHES:
        found = convert_text(fixtures[f"clothes: {name}"].text, tmp_path / name, make_options())
        assert found.all_rows() == clean.all_rows()


@pytest.mark.parametrize("range_bytes", [50, 1000, 8 << 20])
@pytest.mark.parametrize("column", ["offset", "large", "small", "constant"])
def test_moments_of_columns_that_defeat_the_naive_formula(
    tmp_path: Path, column: str, range_bytes: int
) -> None:
    """Far from 0, at 1e30 or near 1e-300: mean and std are those of two exact passes, to 1e-12."""
    fixture = all_fixtures()[f"spread: {column}"]
    dataset = convert_text(
        fixture.text, tmp_path / "a", make_options(range_bytes=range_bytes, standardize=False, keep=("c",))
    )
    by_c = {c: b for _, b, c in fixture.expected.rows}
    train = [by_c[c] for c in dataset.column("c", "train")]
    exact, stated = fsum_moments(train), dataset.moments("b")
    assert stated["mean"] == pytest.approx(exact.mean, rel=1e-12, abs=1e-12 * exact.std)
    assert stated["std"] == pytest.approx(exact.std, rel=1e-12)
    assert (stated["count"], stated["min"], stated["max"]) == (exact.count, exact.min, exact.max)


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("tensorflow", ("train", "shards"), "train"),
        ("distributed", ("convert", "raw.csv", "other", "--engine", "dask"), "dask"),
        ("s3fs", ("convert", "s3://bucket/raw.csv", "other"), "s3"),
        ("gcsfs", ("convert", "gs://bucket/raw.csv", "other"), "gcs"),
    ],
)
def test_a_missing_extra_is_named(
    convert: Callable[..., Outcome],
    pipeline_command: Command,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    arguments: tuple[str, ...],
    extra: str,
) -> None:
    """What is not installed is told with the command that installs it; a plain conversion does without."""
    monkeypatch.setitem(sys.modules, module, None)
    assert convert(GOOD, "--quiet").status == 0
    outcome = pipeline_command(*arguments)
    assert outcome.status == 5
    assert outcome.stderr.startswith("error[E501] ")
    assert f'pip install "csv-shard-pipeline[{extra}]"' in outcome.stderr
    assert not Path("other").exists()


def test_convert_works_without_any_extra(tmp_path: Path) -> None:
    """With nothing but the base installed, a conversion and its verification work."""
    (tmp_path / "raw.csv").write_text(GOOD)
    extras = [
        "tensorflow",
        "keras",
        "matplotlib",
        "tensorboard",
        "dask",
        "distributed",
        "s3fs",
        "gcsfs",
        "fsspec",
    ]
    script = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({[*extras, 'upath', 'torch']!r}))\n"
        "from pipeline.cli import main\n"
        "main()\n"
    )
    for arguments in (("convert", "raw.csv", "shards"), ("verify", "shards")):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script, *arguments, "--quiet"],
            capture_output=True,
            check=False,
            cwd=tmp_path,
            encoding="utf-8",
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            timeout=TIMEOUT_SECONDS,
        )
        assert (done.returncode, done.stderr) == (0, "")
