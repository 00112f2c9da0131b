"""The stages of dvc.yaml: what they call, and when they run again; as docs/how-to/dvc.md says."""

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
from support.documents import document, fenced, run_script
from support.dvc_project import SMALL, make_project, own_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

PAGE = document("docs/how-to/dvc.md")
REPORTS = ["report/shards.html", "report/model.html"]
# The plots of an evaluation: their titles, and the fields of their data.
EVALUATED = {
    "ROC curve": {"false_positive_rate", "true_positive_rate", "threshold"},
    "precision by recall": {"recall", "precision", "threshold"},
    "what was so, by what was predicted": {"predicted", "actual", "records"},
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


def marked(mark: str) -> str:
    """Return the commands of the page that stand below the comment `mark`."""
    return fenced(PAGE.partition(f"<!-- {mark} -->")[2], "console")[0]


def called(stage: str, parameters: dict[str, Any]) -> click.Context:
    """Return what click makes of the call of a stage with these parameters."""
    text = loaded("dvc.yaml")["stages"][stage]["cmd"]
    words = re.sub(r"\$\{(\w+)\.(\w+)\}", lambda name: str(parameters[name[1]][name[2]]), text).split()
    command: click.Command = cli
    assert words.pop(0) == "pipeline"
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    return command.make_context("pipeline", words)


@pytest.mark.parametrize("stage", loaded("dvc.yaml")["stages"])
def test_stages_call_the_command_line_alone(stage: str) -> None:
    """Every stage is one call of `pipeline`, with options it has, and values in the defaults it accepts."""
    assert called(stage, loaded("params.yaml")).params


def test_experiments_of_the_page_change_what_there_is() -> None:
    """What the page sets for an experiment are parameters, with values that the training accepts."""
    lines = re.findall(r"^dvc exp run (-S .*)$", PAGE, re.MULTILINE)
    assert lines
    for line in lines:
        parameters = loaded("params.yaml")
        for stage, key, value in re.findall(r"-S (\w+)\.(\w+)=(\S+)", line):
            assert str(parameters[stage][key]) != value
            parameters[stage][key] = value
        assert called("train", parameters).params["model"] in line + " model=dense"


def test_page_tells_every_stage_in_order() -> None:
    """The table of the page has a row for each stage."""
    stages = re.findall(r"^\| ([a-z-]+) \|", PAGE, re.MULTILINE)
    assert [stage for stage in stages if stage != "stage"] == list(loaded("dvc.yaml")["stages"])


def test_every_parameter_is_an_option_and_is_used() -> None:
    """Each key of params.yaml is passed on by its stage as the option of its name; two of them have none."""
    stages = loaded("dvc.yaml")["stages"]
    for name, values in loaded("params.yaml").items():
        for key in values:
            is_plain = name == "convert" and key in {"source", "options"}
            option = "" if is_plain else f"--{key.replace('_', '-')} "
            assert f"{option}${{{name}.{key}}}" in stages[name]["cmd"]


def test_second_repro_does_nothing(project: Path) -> None:
    """When nothing changed, no stage runs again."""
    printed = run_script("dvc repro", project)
    assert "Data and pipelines are up to date" in printed
    assert "Running stage" not in printed


def test_reports_are_made(project: Path) -> None:
    """The stages end with a page about the dataset and one about the model, with its curves."""
    shards, model = ((project / name).read_text(encoding="utf-8") for name in REPORTS)
    assert "<title>Dataset shards" in shards
    assert "<title>Model model" in model
    assert "ROC" in model


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
    drawn = [json.loads(spec) for spec in re.findall(r"var spec = (\{.+\});", page)]
    titles = {str(spec["title"]["text"]): spec["data"]["values"] for spec in drawn}
    for title, fields in EVALUATED.items():
        assert titles[title], title
        assert fields <= set(titles[title][0]), title
    assert not any("<DVC_METRIC" in json.dumps(spec) for spec in drawn)


def test_experiment_changes_one_parameter(project: Path, tmp_path: Path) -> None:
    """`dvc exp run -S train.epochs=3` trains anew with 3 epochs, on the shards there are, and judges that.

    `dvc params diff`, `dvc metrics diff` and `dvc exp show`, as the page has them, tell what changed.
    """
    copy = shutil.copytree(project, tmp_path / "project")
    printed = run_script("git add -A; git commit -qm results; dvc exp run -n longer -S train.epochs=3", copy)
    assert re.findall(r"Running stage '([\w-]+)'", printed) == ["train", "evaluate", "report-model"]
    with (copy / "model" / "history.csv").open(encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    changed = json.loads(run_script("dvc params diff --json", copy))
    assert changed == {"params.yaml": {"train.epochs": {"old": 2, "new": 3, "diff": 1}}}
    [diff] = re.findall(r"^dvc metrics diff .*$", PAGE, re.MULTILINE)
    [figures] = json.loads(run_script(f"{diff} --json", copy)).values()
    loss = {
        made: json.loads((at / "model" / "metrics.json").read_text())["loss"]
        for made, at in {"old": project, "new": copy}.items()
    }
    assert {made: figures["loss"][made] for made in loss} == loss
    [show] = re.findall(r"^dvc exp show .*$", PAGE, re.MULTILINE)
    rows = list(csv.DictReader(run_script(f"{show} --csv --no-pager", copy).splitlines()))
    assert [row["train.epochs"] for row in rows if row["Experiment"] == "longer"] == ["3"]
    assert {f"evaluation/metrics.json:{name}" for name in ("loss", "accuracy", "auc")} < set(rows[0])
    assert len(rows[0]) < 25


def test_results_travel_through_a_remote(project: Path, tmp_path: Path) -> None:
    """With the commands of the page, a clone that pulls has nothing to convert, to train or to judge."""
    copy = shutil.copytree(project, tmp_path / "project")
    run_script(marked("the remote").replace("/srv/dvc-store", str(tmp_path / "store")), copy)
    assert any((tmp_path / "store" / "files" / "md5").iterdir())
    shutil.rmtree(copy / ".dvc" / "cache")  # what is pulled comes from the remote
    printed = run_script(marked("the clone").replace("/srv/project.git", str(copy)), tmp_path)
    # The text is in no cache: it is simulated again, to the same bytes.
    assert re.findall(r"Running stage '([\w-]+)'", printed) == ["fetch"]
    assert all((tmp_path / "copy" / name).read_bytes() == (copy / name).read_bytes() for name in REPORTS)


def test_own_csv_is_converted_and_never_touched(tmp_path: Path) -> None:
    """With one's own file as the source, and options, `dvc repro train` uses it and leaves it alone."""
    make_project(tmp_path, SMALL)
    rows = "".join(f"{index % 2},c{index % 7},{(index * 37) % 101}\n" for index in range(300))
    own = tmp_path / "data" / "mine.csv"
    own.write_text("outcome,a,b\n" + rows, encoding="utf-8")
    parameters = tmp_path / "params.yaml"
    text = parameters.read_text(encoding="utf-8")
    text = text.replace("data/raw.csv", "data/mine.csv").replace("label: label", "label: outcome")
    text = text.replace("options: ''", "options: --categorical a")
    parameters.write_text(text, encoding="utf-8")
    before = own.stat()
    # The training itself is what the other tests are about.
    printed = run_script("dvc repro convert && dvc repro --dry train", tmp_path)
    assert re.findall(r"Running stage '([\w-]+)'", printed) == ["convert", "train"]
    assert not (tmp_path / "data" / "raw.csv").exists()
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["records"]["read"] == 300
    assert manifest["options"]["categorical"] == ["a"]
    assert (own.stat().st_ino, own.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.slow
def test_plots_of_a_number_need_no_editing(tmp_path: Path) -> None:
    """With a number for a label the same stages run, and `dvc plots show` draws what there is, silently."""
    make_project(tmp_path, SMALL)
    rows = "".join(f"{i % 13 + i % 3 / 7},{i % 13},{i % 3},{(i * 37) % 101}\n" for i in range(600))
    (tmp_path / "data" / "mine.csv").write_text("energy,a,level,b\n" + rows, encoding="utf-8")
    parameters = tmp_path / "params.yaml"
    text = parameters.read_text(encoding="utf-8")
    for old, new in (
        ("data/raw.csv", "data/mine.csv"),
        ("label: label", "label: energy"),
        ("slice: mass", "slice: level"),
    ):
        assert old in text
        text = text.replace(old, new)
    parameters.write_text(text, encoding="utf-8")
    run_script("dvc repro evaluate", tmp_path)
    printed = run_script("dvc plots show --out plots_page 2>&1", tmp_path)
    assert "WARNING" not in printed
    assert "failed" not in printed
    page = (tmp_path / "plots_page" / "index.html").read_text(encoding="utf-8")
    drawn = [json.loads(spec) for spec in re.findall(r"var spec = (\{.*\});", page)]
    assert {str(spec["title"]["text"]) for spec in drawn if spec} == {
        "loss by epoch",
        "metric by epoch",
        "what was so, by what was predicted",
        "figure by slice",
        "what each column is worth",
    }
