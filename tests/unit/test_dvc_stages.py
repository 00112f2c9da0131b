"""The stages of dvc.yaml: what they call, what makes them run again, and what does not."""

from __future__ import annotations

import csv
import json
import re
import shutil
from typing import TYPE_CHECKING

import click
import pytest
from ruamel.yaml import YAML

from pipeline.cli import cli
from support.documents import document, run_script
from support.dvc_project import SMALL, make_project, own_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

# The plots of an evaluation: their titles, and the fields of their data.
EVALUATED = {
    "ROC curve": {"false_positive_rate", "true_positive_rate", "threshold"},
    "precision by recall": {"recall", "precision", "threshold"},
    "how often it was so, by predicted probability": {"probability", "share", "records"},
    "records by actual and predicted class": {"actual", "predicted", "records", "share"},
    "figure by slice": {"slice", "figure"},
    "what each column is worth": {"column", "drop"},
}


def loaded(name: str) -> dict[str, Any]:
    """Return the YAML document `name`."""
    tree: dict[str, Any] = YAML(typ="safe").load(document(name))
    return tree


@pytest.fixture(scope="module", autouse=True)
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """See `own_settings`."""
    with own_settings(tmp_path_factory.mktemp("settings")):
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project after its first `dvc repro`."""
    folder = make_project(tmp_path_factory.mktemp("project"), SMALL)
    run_script("dvc repro", folder)
    return folder


def test_stages_call_the_command_line_alone() -> None:
    """Every stage is one call of `pipeline`, with options it has, and values in the defaults it accepts."""
    parameters = loaded("params.yaml")
    for stage in loaded("dvc.yaml")["stages"].values():
        command: click.Command = cli
        words = re.sub(
            r"\$\{(\w+)\.(\w+)\}", lambda name: str(parameters[name[1]][name[2]]), stage["cmd"]
        ).split()
        assert words.pop(0) == "pipeline"
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        command.make_context("pipeline", words)


def test_every_parameter_is_an_option_and_is_used() -> None:
    """Each key of params.yaml is passed on by its stage as the option of its name; the source has none."""
    stages = loaded("dvc.yaml")["stages"]
    for name, values in loaded("params.yaml").items():
        for key in values:
            option = "" if (name, key) == ("convert", "source") else f"--{key.replace('_', '-')} "
            assert f"{option}${{{name}.{key}}}" in stages[name]["cmd"]


def test_second_repro_does_nothing(project: Path) -> None:
    """When nothing changed, no stage runs again."""
    printed = run_script("dvc repro", project)
    assert "Data and pipelines are up to date" in printed
    assert "Running stage" not in printed


def test_making_leaves_git_alone(project: Path) -> None:
    """All that the stages make is ignored by git, but the lock file that is to be committed."""
    assert run_script("git status --porcelain", project).split() == ["??", "dvc.lock"]


def test_metrics_are_shown(project: Path) -> None:
    """`dvc metrics show` shows what the training and the evaluation wrote, slices among it."""
    shown = json.loads(run_script("dvc metrics show --json", project))
    for name in ("model/metrics.json", "evaluation/metrics.json"):
        written = json.loads((project / name).read_text(encoding="utf-8"))
        # DVC compares numbers and words; it leaves out what is a list.
        figures = {key: value for key, value in written.items() if not isinstance(value, list)}
        assert shown[""]["data"][name]["data"] == figures
    assert len(figures["slices"]["mass"]) == 5


def test_plots_are_shown(project: Path) -> None:
    """`dvc plots show` makes a page with all curves, the confusion matrix, slices and pictures."""
    printed = run_script("dvc plots show --out plots_page", project)
    assert "WARNING" not in printed
    page = (project / "plots_page" / "index.html").read_text(encoding="utf-8")
    shutil.rmtree(project / "plots_page")
    assert all(name in page for name in ("val_loss", "accuracy", "model_loss.png"))
    drawn = [json.loads(spec) for spec in re.findall(r"var spec = (\{.*\});", page)]
    titles = {str(spec["title"]["text"]): spec["data"]["values"] for spec in drawn}
    for title, fields in EVALUATED.items():
        assert titles[title], title
        assert fields <= set(titles[title][0]), title
    assert not any("<DVC_METRIC" in json.dumps(spec) for spec in drawn)


def test_experiment_changes_one_parameter(project: Path, tmp_path: Path) -> None:
    """`dvc exp run -S train.epochs=3` trains anew with 3 epochs, on the shards there are, and judges that."""
    copy = shutil.copytree(project, tmp_path / "project")
    printed = run_script("dvc exp run --name longer -S train.epochs=3", copy)
    assert re.findall(r"Running stage '(\w+)'", printed) == ["train", "evaluate"]
    with (copy / "model" / "history.csv").open(encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    table = run_script("dvc exp show --csv --no-pager", copy).splitlines()
    [row] = [row for row in csv.DictReader(table) if row["Experiment"] == "longer"]
    assert row["train.epochs"] == "3"


def test_results_travel_through_a_remote(project: Path, tmp_path: Path) -> None:
    """After `dvc push`, a clone that pulls has nothing to convert, nothing to train and nothing to judge."""
    copy = shutil.copytree(project, tmp_path / "project")
    remote = tmp_path / "remote"
    commit = "git add -A && git -c user.name=t -c user.email=t@t commit -qm results"
    run_script(f"dvc remote add -d store {remote} && dvc push && {commit}", copy)
    run_script(f"git clone -q {copy} {tmp_path / 'clone'}", tmp_path)
    printed = run_script("dvc pull --allow-missing && dvc repro", tmp_path / "clone")
    # The text is in no cache: it is simulated again, to the same bytes.
    assert re.findall(r"Running stage '(\w+)'", printed) == ["fetch"]


def test_own_csv_is_converted_and_never_touched(tmp_path: Path) -> None:
    """With one's own file as the source, `dvc repro train` uses it, simulates nothing and leaves it alone."""
    make_project(tmp_path, SMALL)
    rows = "".join(f"{index % 2},{index % 7},{(index * 37) % 101}\n" for index in range(300))
    own = tmp_path / "data" / "mine.csv"
    own.write_text("outcome,a,b\n" + rows, encoding="utf-8")
    parameters = tmp_path / "params.yaml"
    text = parameters.read_text(encoding="utf-8")
    text = text.replace("data/raw.csv", "data/mine.csv").replace("label: label", "label: outcome")
    parameters.write_text(text, encoding="utf-8")
    before = own.stat()
    # The training itself is what the other tests are about.
    printed = run_script("dvc repro convert && dvc repro --dry train", tmp_path)
    assert re.findall(r"Running stage '(\w+)'", printed) == ["convert", "train"]
    assert not (tmp_path / "data" / "raw.csv").exists()
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["records"]["read"] == 300
    assert (own.stat().st_ino, own.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
