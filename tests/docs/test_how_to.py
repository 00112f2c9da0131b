"""The tutorial and the pages of docs/how-to: their commands run, and show what the pages say they show."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from pipeline.inspect import inspect_dataset
from support.documents import ROOT, document, fenced, run_script

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import Command

TUTORIAL = document("docs/tutorial.md")
TOOLS = document("docs/how-to/other-tools.md")
LEARNS = re.compile(r"pipeline (train|evaluate|predict|report model)\b")
ROWS = range(300)
# What lies in the folder before the commands of the page about columns are run.
EVENTS = "run,event_id,seen,weight,energy,angle,detector,kind\n" + "".join(
    f"a{row % 3},{row + 2**53},2026-11-{row % 28 + 1:02}T18:00,{row % 2 + 0.5},{row % 17}.1,{row % 5}.25,"
    f"{'north' if row % 3 else 'south'},{'signal' if row % 2 else 'background'}\n"
    for row in ROWS
)
TABLE = "".join(f"{row % 2}\t{row}\t{row % 7}.5\n" for row in ROWS)


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the CSV that the tutorial makes."""
    folder = tmp_path_factory.mktemp("tutorial")
    [code] = fenced(TUTORIAL, "python")
    (folder / "make.py").write_text(code, encoding="utf-8")
    run_script("python make.py", folder)
    return folder


def commands(page: str) -> list[str]:
    """Return the commands of a page, those of several lines as one."""
    return "".join(fenced(page, "console")).replace("\\\n", "").splitlines()


def printed_by(command: Command, lines: list[str]) -> str:
    """Run commands of ours in this process, one after the other; return what they print."""
    outcomes = [command(*shlex.split(line)[1:]) for line in lines]
    assert [outcome.stderr for outcome in outcomes if outcome.status] == []
    return "".join(outcome.stdout for outcome in outcomes)


def missing(block: str, printed: str) -> list[str]:
    """Return the lines of `block` that are not in what was printed, blanks aside."""
    lines = {" ".join(line.split()) for line in printed.splitlines()}
    return [line for line in block.splitlines() if line and " ".join(line.split()) not in lines]


def test_the_tutorial_shows_what_is_printed(
    customers: Path, pipeline_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the page shows of `inspect` and `convert` is printed, and the one command leads to the other."""
    monkeypatch.chdir(customers)
    look, convert, report = [line for line in commands(TUTORIAL) if not LEARNS.match(line)]
    looked, converted, *_ = fenced(TUTORIAL, "text")
    printed = printed_by(pipeline_command, [look])
    assert missing(looked, printed) == []
    advised = printed.partition("convert it\n")[2].replace("\\\n", "")
    assert advised.split() == convert.split()
    assert missing(converted, printed_by(pipeline_command, [convert])) == []
    printed_by(pipeline_command, [report])


@pytest.mark.slow
def test_the_tutorial_ends_with_a_model(customers: Path, tmp_path: Path) -> None:
    """All its commands, one after the other, leave reports, figures and predictions that are of some use."""
    (tmp_path / "customers.csv").symlink_to(customers / "customers.csv")
    printed = run_script("\n".join(commands(TUTORIAL)), tmp_path)
    for shown in fenced(TUTORIAL, "text")[2:]:
        names = [line.split()[0] for line in shown.splitlines() if line.startswith("  ")]
        assert [name for name in names if f"  {name} " not in printed] == []
    accuracy = re.search(r"accuracy +([\d.]+)", printed)
    assert accuracy is not None
    assert 0.64 < float(accuracy[1]) < 0.7
    header = fenced(TUTORIAL, "text")[-1].splitlines()[0]
    assert (tmp_path / "predictions.csv").read_text().splitlines()[0] == header
    assert {"report.html", "model-report.html"} <= {path.name for path in tmp_path.iterdir()}


def test_columns_are_said(tmp_path: Path, pipeline_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of the page about columns convert files such as it shows."""
    page = document("docs/how-to/columns.md")
    header = fenced(page, "text")[0].splitlines()[0]
    assert EVENTS.startswith(header + "\n")
    (tmp_path / "events.csv").write_text(EVENTS, encoding="utf-8")
    (tmp_path / "table.tsv").write_text(TABLE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    printed_by(pipeline_command, commands(page))
    made = {path.parent.name for path in tmp_path.glob("*/manifest.json")}
    assert made == {"shards", "energies", "tabs", "plain"}


def test_untidy_text_is_dealt_with(
    tmp_path: Path, pipeline_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file on the page has the faults that the page says `inspect` finds, and is converted as it says."""
    page = document("docs/how-to/untidy-text.md")
    source, found = fenced(page, "text")
    (tmp_path / "orders.csv").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    *run, look = commands(page)
    assert missing(found, printed_by(pipeline_command, run)) == []
    assert look == "cat shards/rejects.jsonl"
    assert len((tmp_path / "shards" / "rejects.jsonl").read_text().splitlines()) == 3


def test_scripts_get_what_they_need(tmp_path: Path) -> None:
    """The commands of the page about scripts run, and print nothing but what it shows."""
    page = document("docs/how-to/scripts.md")
    prepare = "pipeline fetch simulated raw.csv --rows 2000 --quiet; gzip -c raw.csv > days.csv.gz\n"
    summary, show, *others = commands(page)
    printed = run_script(prepare + f"{summary} 2> progress\n" + "\n".join([show, *others]), tmp_path)
    assert printed == fenced(page, "text")[0]


def test_other_tools_are_told_what_inspect_prints(
    tmp_path: Path, pipeline_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece of code on the page is what `inspect` prints; that it works is tested where it is made."""
    monkeypatch.chdir(tmp_path)
    *run, to_file, read = commands(TOOLS)
    printed_by(pipeline_command, run)
    code, _, file = to_file.partition(" > ")
    (tmp_path / file).write_text(printed_by(pipeline_command, [code]), encoding="utf-8")
    assert read == f"python {file}"
    printed = {piece.title: piece.code for piece in inspect_dataset("shards/").code}
    assert (tmp_path / file).read_text(encoding="utf-8") == printed["Polars"]
    own = TOOLS.partition("## TensorFlow Datasets")[0]
    titles = re.findall(r"^## (.+)$", own, re.MULTILINE)
    assert dict(zip(titles, fenced(own, "python"), strict=True)) == printed


def test_tensorflow_datasets_reads_records(tmp_path: Path) -> None:
    """The code of the page makes a dataset of TFDS of the shards, which stays a dataset of ours."""
    pytest.importorskip("tensorflow_datasets")
    [code] = fenced(TOOLS.partition("<!-- tfds -->")[2], "python")
    check = "\nassert len(list(train)) == 1600\nassert next(iter(train))['features'].shape == (28,)\n"
    (tmp_path / "read.py").write_text(code + check, encoding="utf-8")
    run_script(
        "pipeline fetch simulated raw.csv --rows 2000 --quiet\n"
        "pipeline convert raw.csv records/ --format tfrecord --quiet\n"
        "python read.py\npipeline verify records/ --quiet",
        tmp_path,
    )


def test_every_page_is_tested() -> None:
    """No page of docs/how-to has commands that nothing runs."""
    here = {"columns.md", "untidy-text.md", "scripts.md", "other-tools.md"}
    elsewhere = {
        "dvc.md",  # tests/unit/test_dvc_stages.py
        "install.md",  # tests/conformance/test_wheel.py
    }
    assert {path.name for path in (ROOT / "docs" / "how-to").glob("*.md")} == here | elsewhere
