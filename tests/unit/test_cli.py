"""Each command turns options into one call, prints what comes back, and exits with the promised status."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import BusyError, DiskError, MachineError, ManifestError
from support.command import ROOT, Command, run_process
from support.datasets import Dataset
from support.texts import numbered_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with raw.csv: 50 records of label, id, f0, f1."""
    (tmp_path / "raw.csv").write_text(numbered_text(50))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_the_installed_command_is_this_one() -> None:
    """`pipeline` on the command line is what `python -m pipeline` is."""
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="pipeline")
    assert entry.value == "pipeline.__main__:main"


def test_version_and_help(pipeline_command: Command) -> None:
    """`--version` tells the version, `-h` and `--help` tell every command."""
    version = importlib.metadata.version("csv-shard-pipeline")
    assert pipeline_command("--version").stdout.strip().endswith(version)
    for flag in ("-h", "--help"):
        outcome = pipeline_command(flag)
        assert outcome.status == 0
        assert outcome.stderr == ""
        for name in ("convert", "fetch", "train"):
            assert f"\n  {name} " in outcome.stdout


@pytest.mark.parametrize(
    "command", [["convert"], ["fetch"], ["fetch", "simulated"], ["fetch", "hepmass"], ["train"]]
)
def test_every_command_has_help(pipeline_command: Command, command: list[str]) -> None:
    """Help explains every option and ends with status 0."""
    outcome = pipeline_command(*command, "--help")
    assert outcome.status == 0
    assert outcome.stdout.startswith(f"Usage: pipeline {' '.join(command)}")
    lines = outcome.stdout.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("  --"):
            explained = len(line.split("  ")) > 2 or lines[number + 1].startswith("          ")
            assert explained, line


@pytest.mark.parametrize(
    "arguments",
    [
        ["convrt"],
        ["convert"],
        ["convert", "raw.csv"],
        ["convert", "raw.csv", "shards", "--lable", "x"],
        ["convert", "raw.csv", "shards", "--on-bad-row", "maybe"],
        ["convert", "raw.csv", "shards", "--workers", "0"],
        ["convert", "raw.csv", "shards", "--split", "0.5,0.5"],
        ["convert", "raw.csv", "shards", "--shard-size", "big"],
        ["convert", "raw.csv", "shards", "--seed", "-1"],
        ["convert", "raw.csv", "shards", "--delimiter", "::"],
        ["convert", "raw.csv", "shards", "--compression", "gzip"],
        ["convert", "raw.csv", "shards", "--drop", "f0", "--keep", "f0"],
        ["convert", "raw.csv", "shards", "--stratify", "--group-by", "id"],
        ["convert", "raw.csv", "shards", "--split-by", "id", "--split", "0.8,0.1,0.1"],
        ["convert", "raw.csv", "shards", "--time-split", "label"],
    ],
)
def test_wrong_usage_is_status_2(folder: Path, pipeline_command: Command, arguments: list[str]) -> None:
    """What the command line gets wrong is told on standard error; nothing is done."""
    outcome = pipeline_command(*arguments)
    assert outcome.status == 2
    assert outcome.stdout == ""
    assert "rror" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert [path.name for path in folder.iterdir()] == ["raw.csv"]


def test_convert_tells_what_it_made(folder: Path, pipeline_command: Command) -> None:
    """The summary names splits, the accounting and what to do next; progress is on standard error."""
    outcome = pipeline_command("convert", "raw.csv", "shards", "--drop", "id")
    assert outcome.status == 0
    assert "50 records read = 50 written + 0 rejected" in outcome.stdout
    assert "pipeline train shards" in outcome.stdout
    assert [line.split()[:2] for line in outcome.stdout.splitlines()[1:4]] == [
        ["train", "40"],
        ["val", "5"],
        ["test", "5"],
    ]
    assert [line.split(":")[0] for line in outcome.stderr.splitlines()] == ["reading", "writing shards"]
    assert Dataset(folder=folder / "shards").manifest["records"]["written"] == 50


def test_json_is_one_line_and_alone(folder: Path, pipeline_command: Command) -> None:
    """With --json standard output is one JSON object, standard error silent."""
    outcome = pipeline_command("convert", "raw.csv", "shards", "--keep", "id", "--json")
    assert outcome.stderr == ""
    summary = json.loads(outcome.stdout)
    manifest = Dataset(folder=folder / "shards").manifest
    assert summary["target"] == "shards"
    assert summary["fingerprint"] == manifest["fingerprint"]
    assert summary["records"] == {"read": 50, "written": 50, "rejected": 0, "blank": 0}
    assert summary["splits"]["train"] == {"records": 40, "shards": 1}
    assert summary["label"] == {"name": "label", "classes": [0, 1]}
    assert summary["bytes"] == sum(path.stat().st_size for path in folder.glob("shards/*.parquet"))


def test_quiet_says_nothing(folder: Path, pipeline_command: Command) -> None:
    """With --quiet there is no word, only the dataset."""
    outcome = pipeline_command("convert", "raw.csv", "shards", "--quiet")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, "", "")
    assert (folder / "shards" / "manifest.json").exists()


def test_dry_run_prints_the_plan_and_does_nothing(folder: Path, pipeline_command: Command) -> None:
    """The plan tells source, label, features, split, shards; no file is made."""
    outcome = pipeline_command("convert", "raw.csv", "shards", "--dry-run", "--keep", "id", "--workers", "3")
    assert outcome.status == 0
    assert outcome.stderr == ""
    for wording in ("raw.csv", "label (classes)", "2: f0, f1", "id (keep)", "about 50 records"):
        assert wording in outcome.stdout
    lines = [line.split() for line in outcome.stdout.splitlines()]
    assert ["train", "0.8", "40", "1"] in lines
    assert {"memory", "disk", "time"} < {line[0] for line in lines if line}
    assert "nothing was written" in outcome.stdout
    assert [path.name for path in folder.iterdir()] == ["raw.csv"]


def test_dry_run_as_json(folder: Path, pipeline_command: Command) -> None:
    """The plan as JSON has columns with roles and dtypes, and the estimates."""
    options = ("--dry-run", "--json", "--weight", "id", "--seed", "7", "--split", "0.5,0.25,0.25")
    plan = json.loads(pipeline_command("convert", "raw.csv", "shards", *options).stdout)
    assert [(column["name"], column["role"], column["dtype"]) for column in plan["columns"]] == [
        ("label", "label", "int64"),
        ("id", "weight", "float32"),
        ("f0", "feature", "float32"),
        ("f1", "feature", "float32"),
    ]
    assert (plan["seed"], plan["split"]) == (7, [0.5, 0.25, 0.25])
    assert plan["estimated"]["records"] == 50
    assert plan["source"][0]["bytes"] == (folder / "raw.csv").stat().st_size
    assert not (folder / "shards").exists()


def test_options_reach_the_dataset(folder: Path, pipeline_command: Command) -> None:
    """Every option of the command line that changes the bytes is in the manifest as given."""
    outcome = pipeline_command(
        "convert",
        "raw.csv",
        "shards",
        *(
            "--label",
            "f1",
            "--label-kind",
            "number",
            "--weight",
            "id",
            "--drop",
            "f0",
            "--split",
            "0.6,0.2,0.2",
        ),
        *("--seed", "9", "--shard-size", "100", "--no-standardize", "--on-bad-row", "skip"),
        *("--on-missing", "drop", "--on-nonfinite", "drop", "--compression", "zstd", "--memory", "500MB"),
        *("--workers", "2", "--max-rejects", "0", "--quiet"),
    )
    assert outcome.status == 0, outcome.stderr
    manifest = Dataset(folder=folder / "shards").manifest
    options = manifest["options"]
    expected = {
        "label": "f1",
        "label_kind": "number",
        "weight": ["id"],
        "drop": ["f0"],
        "keep": [],
        "split": [0.6, 0.2, 0.2],
        "seed": 9,
        "shard_bytes": 100,
        "standardize": False,
        "on_bad_row": "skip",
        "on_missing": "drop",
        "on_nonfinite": "drop",
        "compression": "zstd",
        "formats": ["parquet"],
        "delimiter": ",",
        "has_header": True,
    }
    assert {name: options[name] for name in expected} == expected
    assert manifest["label"]["kind"] == "number"
    assert len(manifest["splits"]["train"]["shards"]) > 1


@pytest.mark.parametrize(
    ("options", "told", "words"),
    [
        (("--stratify",), {"split_rule": "stratify"}, "stratified"),
        (
            ("--group-by", "id"),
            {"split_rule": "group", "split_column": "id"},
            "by 'id': all records of a group",
        ),
        (("--time-split", "id"), {"split_rule": "time", "split_column": "id"}, "by 'id': the earliest"),
        (("--split-by", "fold"), {"split_rule": "given", "split_column": "fold"}, "as 'fold' says"),
        ((), {}, "at random, in exact shares"),
    ],
)
def test_split_rules_are_asked_for_and_told(
    folder: Path, pipeline_command: Command, options: tuple[str, ...], told: dict[str, str], words: str
) -> None:
    """Plan, summary, manifest and inspect say by what records are divided; the column is no feature."""
    lines = (folder / "raw.csv").read_text().splitlines()
    folds = ["fold", *["train", "val", "test"] * 20]
    text = "\n".join(f"{line},{fold}" for line, fold in zip(lines, folds, strict=False)) + "\n"
    (folder / "raw.csv").write_text(text)
    arguments = ("convert", "raw.csv", "shards", *options, *(() if "fold" in options else ("--drop", "fold")))
    plan = pipeline_command(*arguments, "--dry-run")
    assert words in plan.stdout
    assert ("train" in plan.stdout) == ("fold" not in options or "train" in words)
    as_json = json.loads(pipeline_command(*arguments, "--dry-run", "--json").stdout)
    assert as_json["split_rule"] == told.get("split_rule", "key")
    assert as_json["split_column"] == told.get("split_column")
    outcome = pipeline_command(*arguments)
    assert outcome.status == 0, outcome.stderr
    assert (f"divided {words}" in outcome.stdout) == bool(told)
    manifest = Dataset(folder=folder / "shards").manifest
    assert {key: value for key, value in manifest["options"].items() if key.startswith("split_")} == told
    features = {column["name"] for column in manifest["columns"] if column["role"] == "feature"}
    assert features == {"id", "f0", "f1"} - set(told.values())
    assert words in pipeline_command("inspect", "shards").stdout


@pytest.mark.parametrize("delimiter", ["\\t", "tab", "\t"])
def test_tabs_and_no_header(folder: Path, pipeline_command: Command, delimiter: str) -> None:
    """Tabs may be given by name or escape; without header columns have numbers."""
    rows = (folder / "raw.csv").read_text().split("\n", 1)[1].replace(",", "\t")
    (folder / "raw.tsv").write_text(rows)
    outcome = pipeline_command(
        "convert",
        "raw.tsv",
        "shards",
        "--delimiter",
        delimiter,
        "--no-header",
        "--label",
        "column_1",
        "--quiet",
    )
    assert outcome.status == 0, outcome.stderr
    manifest = Dataset(folder=folder / "shards").manifest
    assert [column["name"] for column in manifest["columns"]] == [f"column_{n}" for n in (1, 2, 3, 4)]
    assert manifest["source"]["has_header"] is False


def test_a_dataset_is_replaced_only_when_told(folder: Path, pipeline_command: Command) -> None:
    """An existing dataset stays, byte for byte, unless --overwrite is given and the new one succeeds."""
    assert pipeline_command("convert", "raw.csv", "shards", "--quiet").status == 0
    before = Dataset(folder=folder / "shards").file_bytes()
    refused = pipeline_command("convert", "raw.csv", "shards", "--quiet", "--seed", "1")
    assert refused.status == 2
    assert refused.stderr.startswith("error[E202] shards: the target exists\n  hint: pass --overwrite")
    bad = folder / "bad.csv"
    bad.write_text((folder / "raw.csv").read_text() + "0,x,x,x\n")
    assert pipeline_command("convert", "bad.csv", "shards", "--quiet", "--overwrite").status == 3
    assert Dataset(folder=folder / "shards").file_bytes() == before
    assert (
        pipeline_command("convert", "raw.csv", "shards", "--quiet", "--seed", "1", "--overwrite").status == 0
    )
    assert Dataset(folder=folder / "shards").manifest["options"]["seed"] == 1


@pytest.mark.parametrize(
    ("error", "status", "first_line"),
    [
        (ManifestError("no manifest", path="shards"), 4, "error[E401] shards: no manifest"),
        (DiskError("disk full"), 5, "error[E502] disk full"),
        (MachineError("no luck"), 5, "error[E500] no luck"),
        (BusyError("busy: pid 1", hint="wait"), 6, "error[E601] busy: pid 1"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ValueError("odd\nthing"), 1, r"internal error: ValueError: odd\nthing"),
    ],
)
def test_statuses_are_those_documented(
    folder: Path,
    pipeline_command: Command,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    first_line: str,
) -> None:
    """Whatever is raised below becomes one line and the status its class stands for."""

    def fail(*_given: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr("pipeline.convert.convert", fail)
    outcome = pipeline_command("convert", "raw.csv", "shards", "--quiet")
    assert outcome.status == status
    assert outcome.stderr.strip().splitlines()[0] == first_line  # click ends the line of a ^C first
    assert outcome.stdout == ""
    assert folder.exists()


def test_debug_shows_the_traceback(folder: Path, pipeline_command: Command) -> None:
    """With --debug before the command, the traceback precedes the error line."""
    (folder / "raw.csv").write_text("label,a\n0,x\n1,2\n1,3\n")
    outcome = pipeline_command("--debug", "convert", "raw.csv", "shards", "--quiet")
    assert outcome.status == 3
    assert outcome.stderr.startswith("Traceback (most recent call last):")
    assert "\nerror[E103] raw.csv:2: " in outcome.stderr


def test_who_stops_listening_gets_no_traceback(folder: Path) -> None:
    """As in `pipeline … | head -0`: no traceback, and no dataset harmed."""
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", "convert", "raw.csv", "shards", "--dry-run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_the_process_converts_and_exits_with_0(folder: Path) -> None:
    """In a process of its own, with warnings as errors, a conversion succeeds."""
    outcome = run_process("convert", "raw.csv", "shards", "--json", cwd=folder)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert json.loads(outcome.stdout)["records"]["written"] == 50
