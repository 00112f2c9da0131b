"""A look at a source tells what is there, what is suspicious, and a command that works."""

from __future__ import annotations

import gzip
import json
import random
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.cli.inspect import CODE
from pipeline.errors import ColumnNotFoundError, DelimiterError, HeaderError, SourceNotFoundError
from pipeline.inspect import inspect_dataset, inspect_source, is_dataset
from pipeline.inspect.command import as_typed
from pipeline.inspect.dialect import first_is_record
from support import trained
from support.damage import rewrite
from support.datasets import Dataset, convert_text, make_options
from support.documents import run_script
from support.texts import numbered_text, written

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import Command

NUM_ROWS = 300
DELIMITERS = {"commas": ",", "semicolons": ";", "tabs": "\t", "bars": "|", "blanks": " "}


def column(name: str, *, seed: int = 0) -> list[str]:
    """Return `NUM_ROWS` cells of the kind `name`."""
    rng = random.Random(f"{name} {seed}")  # noqa: S311  # no secrets
    kinds: dict[str, Any] = {
        "normal": lambda _: repr(rng.gauss(0, 1)),
        "class": lambda _: str(rng.randrange(2)),
        "species": lambda _: rng.choice(["setosa", "virginica", "versicolor"]),
        "count": lambda at: str(1000 + at),
        "drawn": lambda at: str(at * 7919 % 1_000_003),
        "flat": lambda _: "0.25",
        "empty": lambda _: "",
        "gaps": lambda _: rng.choice(["", "NA", repr(rng.random())]),
        "-999": lambda _: "-999" if rng.random() < 0.1 else repr(rng.random()),
        "unix": lambda at: str(1_700_000_000 + 60 * rng.randrange(10_000) + at),
        "unix-ms": lambda at: str(1_700_000_000_000 + 60 * rng.randrange(10_000) + at),
        "offset": lambda _: repr(1e9 + rng.random()),
        "huge": lambda at: str((1 << 60) + at * 3),
        "city": lambda _: rng.choice(["Köln", "Paris", "Rio, de Janeiro"]),
        "words": lambda at: f"a word {at}",
        "essay": lambda at: f"{at} " + "x" * 200,
        "date": lambda _: f"2024-0{rng.randint(1, 9)}-1{rng.randrange(10)}",
        "time": lambda _: f"2024-01-1{rng.randrange(10)} 0{rng.randrange(10)}:30:00",
        "stray": lambda at: "unknown" if at == 7 else repr(rng.random()),
        "inf": lambda at: "inf" if at == 9 else repr(rng.random()),
        "spike": lambda at: "1e9" if at == 5 else repr(rng.random()),
    }
    return [kinds[name](at) for at in range(NUM_ROWS)]


def table(columns: dict[str, str | list[str]]) -> list[list[str]]:
    """Return header and rows of columns, each given by its kind or by its cells."""
    cells = [
        column(kind, seed=at) if isinstance(kind, str) else kind for at, kind in enumerate(columns.values())
    ]
    return [list(columns), *map(list, zip(*cells, strict=True))]


def save(
    path: Path, columns: dict[str, str | list[str]], *, delimiter: str = ",", header: bool = True
) -> Path:
    """Write a table to `path`."""
    path.write_text(written(table(columns)[0 if header else 1 :], delimiter=delimiter), encoding="utf-8")
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A source, and what its suggested conversion must come to."""

    columns: dict[str, str | list[str]]
    label: str
    features: int
    delimiter: str = ","
    header: bool = True
    written: int = NUM_ROWS
    options: tuple[str, ...] = ()


WIDE: dict[str, str | list[str]] = {f"gene{at}": "normal" for at in range(2000)}

CASES = {
    "plain": Case(columns={"label": "class", "a": "normal", "b": "normal"}, label="label", features=2),
    "text": Case(
        columns={
            "id": "count",
            "when": "time",
            "city": "city",
            "x": "normal",
            "essay": "essay",
            "churned": "class",
        },
        label="churned",
        features=2,
        options=("--datetime when", "--categorical city", "--keep id", "--drop essay"),
    ),
    "gaps": Case(
        columns={"x": "gaps", "none": "empty", "y_": "normal", "target": "species"},
        label="target",
        features=2,
        options=("--on-missing mean", "--drop none"),
    ),
    "gaps in the label": Case(
        columns={"x": "gaps", "label": ["", *column("class")[1:]]},
        label="label",
        features=1,
        written=sum(bool(a and a != "NA" and at) for at, a in enumerate(column("gaps"))),
        options=("--on-missing drop",),
    ),
    "without header": Case(
        columns={"a": "normal", "b": "normal", "c": "species"},
        header=False,
        label="column_3",
        features=2,
        options=("--no-header", "--label column_3"),
    ),
    "numbers alone": Case(
        columns={"a": "class", "b": "normal", "c": "normal"},
        header=False,
        delimiter="\t",
        label="column_1",
        features=2,
        options=("--delimiter '\\t'", "--no-header"),
    ),
    "semicolons": Case(
        columns={"Outcome": "class", "a": "normal", "city": "city"},
        delimiter=";",
        label="Outcome",
        features=1,
    ),
    "faults": Case(
        columns={"label": "class", "a": "stray", "b": "inf"},
        label="label",
        features=2,
        written=NUM_ROWS - 2,
        options=("--on-bad-row skip", "--on-nonfinite drop"),
    ),
    "names for a shell": Case(
        columns={
            "$(rm -r x)": "city",
            "-v": "city",
            "it's": "count",
            'a "b"': "date",
            "w x": "normal",
            "é*": "class",
        },
        label="é*",
        features=2,
        options=("--categorical=-v",),
    ),
    "a quantity": Case(
        columns={"rooms": "class", "area": "normal", "price": "normal"}, label="price", features=2
    ),
    "nothing speaks for any": Case(columns={"a": "normal", "b": "normal"}, label="b", features=1),
    "many columns": Case(columns=WIDE | {"class": "species"}, label="class", features=2000),
}


@pytest.mark.parametrize("name", CASES)
def test_the_suggested_command_works(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline_command: Command
) -> None:
    """The command converts the source as it stands; label, features and rows are those one would expect."""
    case = CASES[name]
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "raw.csv", case.columns, delimiter=case.delimiter, header=case.header)
    report = inspect_source(["raw.csv"])
    assert report.expected_records == pytest.approx(NUM_ROWS, rel=0.02)
    assert report.command is not None
    command = as_typed(report.command)
    for option in case.options:
        assert option in command
    assert shlex.split(as_typed(report.command, width=60).replace("\\\n", " ")) == list(report.command)
    outcome = pipeline_command(*shlex.split(command)[1:], "--workers", "1", "--quiet")
    assert (outcome.status, outcome.stderr) == (0, "")
    manifest = Dataset(folder=tmp_path / "shards").manifest
    assert manifest["label"]["name"] == case.label == report.label
    assert manifest["label"]["kind"] == report.label_kind
    assert sum(entry["role"] == "feature" for entry in manifest["columns"]) == case.features
    assert manifest["records"]["written"] == case.written


def test_the_command_is_for_a_shell(tmp_path: Path) -> None:
    """What the page shows can be pasted into a shell, on its several lines; names are literal."""
    save(tmp_path / "my days.csv", CASES["names for a shell"].columns)
    shown = run_script(
        "pipeline inspect 'my days.csv' | sed -n '/^pipeline/,$p' > run.sh; bash -eu run.sh; ls", tmp_path
    )
    assert shown.split("\n")[-2] == "shards"
    assert "\\\n" in (tmp_path / "run.sh").read_text()


def test_many_files_are_one_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline_command: Command
) -> None:
    """A pattern stands for its files, compressed ones too; the command names it as it was given."""
    monkeypatch.chdir(tmp_path)
    for at in range(3):
        text = written(table({"label": "class", "a": "normal", "b": "normal"}))
        (tmp_path / f"day {at}.csv.gz").write_bytes(gzip.compress(text.encode()))
    report = inspect_source(["day *.gz"])
    assert report.command == ("pipeline", "convert", "day *.gz", "shards/")
    assert len(report.files) == 3
    assert report.expected_records == pytest.approx(3 * NUM_ROWS, rel=0.05)
    assert pipeline_command(*report.command[1:], "--quiet").status == 0
    assert Dataset(folder=tmp_path / "shards").manifest["records"]["written"] == 3 * NUM_ROWS


SUSPICIOUS = {
    "flat": {"constant"},
    "empty": {"empty"},
    "count": {"identifier"},
    "drawn": {"all-different"},
    "gaps": {"missing"},
    "-999": {"sentinel"},
    "unix": {"timestamp"},
    "unix-ms": {"timestamp", "offset"},
    "offset": {"offset"},
    "huge": {"all-different", "large-integers", "offset"},
    "city": {"categories"},
    "words": {"text"},
    "date": {"dates"},
    "time": {"dates"},
    "stray": {"stray"},
    "inf": {"infinite"},
    "spike": {"outlier"},
    "normal": set(),
    "class": set(),
}


@pytest.mark.parametrize("kind", SUSPICIOUS)
def test_what_is_suspicious_is_found_and_nothing_else(kind: str, tmp_path: Path) -> None:
    """Of a column of each kind just that is told which is suspicious about it; of plain numbers nothing."""
    report = inspect_source([str(save(tmp_path / "raw.csv", {"label": "class", "a": "normal", "it": kind}))])
    assert {finding.kind for finding in report.findings if "it" in finding.columns} == SUSPICIOUS[kind]
    assert {finding.kind for finding in report.findings if "it" not in finding.columns} == set()


def test_what_columns_have_to_do_with_each_other_is_found(tmp_path: Path) -> None:
    """Copies, names that differ in case alone, columns that tell the label, labels of one or a rare value."""
    label = column("class")
    columns: dict[str, str | list[str]] = {
        "label": label,
        "a": "normal",
        "A": "normal",
        "leak": ["7.5" if value == "1" else "2.5" for value in label],
    }
    columns["again"] = column("normal", seed=1)
    report = inspect_source([str(save(tmp_path / "raw.csv", columns))])
    found = {(finding.kind, finding.columns) for finding in report.findings}
    assert found == {("copy", ("again",)), ("case", ("a", "A")), ("telling", ("leak",))}
    save(tmp_path / "one.csv", {"label": ["1"] * NUM_ROWS, "a": "normal"})
    save(tmp_path / "rare.csv", {"label": ["1", "1", *["0"] * (NUM_ROWS - 2)], "a": "normal"})
    for name, kinds in (("one", {"constant", "one-class"}), ("rare", {"rare-class"})):
        assert {finding.kind for finding in inspect_source([str(tmp_path / f"{name}.csv")]).findings} == kinds


def test_rows_of_another_length_are_counted(tmp_path: Path) -> None:
    """They are told of, and the command sets them aside."""
    path = tmp_path / "raw.csv"
    path.write_text("label,a\n" + "1,2\n0,1\n" * 50 + "1\n0,1,2\n")
    report = inspect_source([str(path)])
    assert (report.num_rows, report.num_uneven) == (102, 2)
    assert report.command is not None
    assert report.command[-2:] == ("--on-bad-row", "skip")


@pytest.mark.parametrize("name", DELIMITERS)
@pytest.mark.parametrize("header", [True, False])
def test_the_dialect_is_found_out(name: str, tmp_path: Path, *, header: bool) -> None:
    """Delimiter and header are found, whether they are the usual ones or not."""
    columns: dict[str, str | list[str]] = {"a": "normal", "b": "species", "c": "normal"}
    path = save(tmp_path / "raw.csv", columns, delimiter=DELIMITERS[name], header=header)
    dialect = inspect_source([str(path)]).dialect
    assert (dialect.delimiter, dialect.has_header) == (DELIMITERS[name], header)


@pytest.mark.parametrize(
    ("first", "second", "is_record"),
    [
        (["label", "a"], ["1", "2.5"], False),
        (["1", "2.5"], ["1", "2.5"], True),
        (["5.1", "3.5", "setosa"], ["4.9", "3.0", "virginica"], True),
        (["name", "2001", "2002", "2003"], ["Kim", "1.5", "2", "3"], False),
        (["name", "400.5", "410.0"], ["Kim", "1.5", "2"], True),
        (["x", "y", "3"], ["1", "2", "3"], False),
        (["city", "name"], ["Rome", "Kim"], False),
        (["", "NA", "a"], ["1", "2", "b"], False),
    ],
)
def test_a_header_is_told_from_a_record(first: list[str], second: list[str], *, is_record: bool) -> None:
    """Numbers where the rows have numbers are data, but whole ones that rise, such as years, are names."""
    assert first_is_record(first, [second] * 5) is is_record


@pytest.mark.parametrize(
    ("columns", "candidates"),
    [
        ({"target": "normal", "class": "class"}, ("target",)),
        ({"id": "count", "x": "normal", "survived": "class"}, ("survived",)),
        ({"quality": "normal", "x": "normal"}, ("quality",)),
        ({"is_open": "class", "x": "normal"}, ("is_open",)),
        ({"x": "normal", "answer": "class"}, ("answer",)),
        ({"answer": "species", "x": "normal"}, ("answer",)),
        ({"x": "normal", "z": "normal"}, ()),
        ({"x": "normal", "price": "words"}, ()),
        ({"x": "normal", "class": "flat"}, ()),
    ],
)
def test_the_label_is_guessed(
    columns: dict[str, str | list[str]], candidates: tuple[str, ...], tmp_path: Path
) -> None:
    """A telling name, or few values at the edge of the table, speak for a label; nothing else does."""
    assert inspect_source([str(save(tmp_path / "raw.csv", columns))]).candidates == candidates


def test_a_label_may_be_named(tmp_path: Path) -> None:
    """The named label is taken; one that is not there is an error with the nearest name."""
    path = str(save(tmp_path / "raw.csv", {"label": "class", "mass": "normal", "b": "normal"}))
    report = inspect_source([path], label="mass")
    assert (report.label, report.label_kind) == ("mass", "number")
    assert report.command is not None
    assert report.command[-2:] == ("--label", "mass")
    with pytest.raises(ColumnNotFoundError) as raised:
        inspect_source([path], label="mas")
    assert "mass" in raised.value.hint


def test_nothing_to_convert_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline_command: Command
) -> None:
    """A table of text alone gets no command, on the page neither."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "raw.csv", {"a": "words", "b": "words"})
    assert inspect_source(["raw.csv"]).command is None
    assert "nothing is left to predict" in pipeline_command("inspect", "raw.csv").stdout


def test_no_more_than_the_beginning_is_read(tmp_path: Path) -> None:
    """What comes after the first mebibyte is not looked at: a terabyte takes no longer."""
    path = tmp_path / "raw.csv"
    text = numbered_text(40_000)
    path.write_text(text)
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    report = inspect_source([str(path)])
    assert report.num_rows < 40_000
    assert report.expected_records == pytest.approx((1 << 40) / (len(text) / 40_000), rel=0.01)


def test_a_header_in_another_order_is_no_row_to_be_skipped(tmp_path: Path) -> None:
    """A file put together from two of other orders: it is told, and no command passes over it."""
    path = tmp_path / "raw.csv"
    path.write_text("label,a,b\n" + "0,1.5,2\n1,2.5,3\n" * 20 + "b,label,a\n" + "1,0,2.5\n" * 20)
    report = inspect_source([str(path)])
    assert [finding.text for finding in report.findings if finding.kind == "turned-header"] == [
        "stand again in line 42, in another order: name the files it was put together from"
    ]
    assert report.command is not None
    assert "--on-bad-row" not in report.command


@pytest.mark.parametrize(
    ("flag", "wording"),
    [("--all", "rows     not known; the first 40 were looked at"), ("--json", '"expected_records": null')],
)
def test_of_standard_input_no_number_of_rows_is_claimed(flag: str, wording: str) -> None:
    """How long it is nobody knows: what was looked at is told, and JSON says null."""
    command = [sys.executable, "-m", "pipeline", "inspect", "-", flag]
    text = "label,a\n" + "0,1.5\n1,2.5\n" * 20
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)  # own
    assert wording in done.stdout


def test_faults_are_those_of_convert(tmp_path: Path) -> None:
    """What cannot be told apart, or is not there, is the error that a conversion would meet."""
    (tmp_path / "one.csv").write_text("just one column\n1\n2\n")
    (tmp_path / "twice.csv").write_text("a,a\nx,1\n")
    with pytest.raises(DelimiterError):
        inspect_source([str(tmp_path / "one.csv")], delimiter=",")
    with pytest.raises(HeaderError, match="duplicate"):
        inspect_source([str(tmp_path / "twice.csv")])
    with pytest.raises(SourceNotFoundError):
        inspect_source([str(tmp_path / "none.csv")])


def test_a_source_as_page_and_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline_command: Command
) -> None:
    """The page shows size, dialect, columns, first rows, findings and the command; JSON holds all of it."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "raw.csv", {f"f{at}": "normal" for at in range(45)} | {"city": "city", "target": "class"})
    page = pipeline_command("inspect", "raw.csv")
    assert (page.status, page.stderr) == (0, "")
    for wording in (
        "rows     about 300",
        "commas",
        "target (classes)",
        "47 columns",
        "and 7 columns more",
        "first rows",
    ):
        assert wording in page.stdout
    assert page.stdout.endswith("convert it\npipeline convert raw.csv shards/ --categorical city\n")
    assert "columns more: --all" not in pipeline_command("inspect", "raw.csv", "--all").stdout
    found = json.loads(pipeline_command("inspect", "raw.csv", "--json").stdout)
    assert [entry["name"] for entry in found["columns"]][-2:] == ["city", "target"]
    assert found["label"] == {"name": "target", "kind": "classes", "candidates": ["target"]}
    assert found["command"] == "pipeline convert raw.csv shards/ --categorical city"
    assert [finding["kind"] for finding in found["findings"]] == ["categories"]
    assert found["expected_records"] == NUM_ROWS


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A dataset with kept columns, rejects and a warning; to be read and never changed."""
    text = written(table({"label": "class", "x": "stray", "flat": "flat", "city": "city"}))
    options = make_options(keep=("city",), on_bad_row="skip", shard_bytes=2000)
    return convert_text(text, tmp_path_factory.mktemp("made") / "d", options)


def test_a_dataset_as_page_and_as_json(made: Dataset, pipeline_command: Command) -> None:
    """The page shows splits with label shares, moments, source, options, rejects, warnings and code."""
    page = pipeline_command("inspect", made.folder).stdout
    manifest = made.manifest
    for wording in (
        manifest["fingerprint"],
        manifest["source"]["files"][0]["digest"],
        "300 read = 299 written + 1 rejected",
        "seed 42",
        "on_bad_row skip",
        "rejects: 1 in rejects.jsonl (1 E103 in x)",
        "warning: column 'flat' is constant",
        "# Polars",
    ):
        assert wording in page
    found = json.loads(pipeline_command("inspect", made.folder, "--json").stdout)
    assert found["splits"]["train"]["label_counts"] == manifest["label"]["counts"]["train"]
    assert found["rejects"] == [{"code": "E103", "column": "x", "records": 1}]
    assert found["columns"] == manifest["columns"]
    assert found["damage"] == []


def test_shares_of_the_label_are_those_of_the_records(made: Dataset, pipeline_command: Command) -> None:
    """The share of a class on the page is that among the records of the split."""
    lines = pipeline_command("inspect", made.folder).stdout.splitlines()
    for split in ("train", "val", "test"):
        row = next(line.split() for line in lines if line.startswith(f"{split} "))
        labels = made.column("label", split)
        assert row[1] == str(len(labels))
        assert row[-2:] == [f"{labels.count(value) / len(labels):.2%}" for value in (0, 1)]


def test_one_piece_of_code_comes_alone(made: Dataset, pipeline_command: Command) -> None:
    """With --code nothing else is printed; what has no shards for it is an error, and so is a source."""
    code = {piece.name: piece.code for piece in inspect_dataset(str(made.folder)).code}
    assert pipeline_command("inspect", made.folder, "--code", "polars").stdout == code["polars"]
    outcome = pipeline_command("inspect", made.folder, "--code", "tfrecord")
    assert outcome.status == 2
    assert "there is code for tensorflow" in outcome.stderr
    assert pipeline_command("inspect", made.folder.parent / "source.csv", "--code", "polars").status == 2


def test_the_names_of_code_are_those_of_the_option(tmp_path: Path) -> None:
    """A dataset of both formats has code by every name that the option takes, in that order."""
    columns = trained.table(50)
    made = trained.make_dataset(tmp_path / "d", columns, formats=("parquet", "tfrecord"))
    assert [piece.name for piece in inspect_dataset(str(made.shards)).code] == CODE


def test_damage_is_told(tmp_path: Path, pipeline_command: Command) -> None:
    """A shard that is gone, or has another size, is named; the rest is shown all the same."""
    made = convert_text(numbered_text(100), tmp_path / "d", make_options())
    first, second = made.paths("train")[0], made.paths("val")[0]
    first.unlink()
    second.write_bytes(second.read_bytes() + b"x")
    report = inspect_dataset(str(made.folder))
    num_bytes = second.stat().st_size
    assert report.damage == (
        f"{first.name} is missing",
        f"{second.name} has {num_bytes:,} bytes, expected {num_bytes - 1:,}",
    )
    assert f"damaged: {first.name} is missing" in pipeline_command("inspect", made.folder).stdout


@pytest.mark.parametrize("damage", ["not json\n", '{"code": "E103"}\n', "", "link"])
def test_rejects_that_are_not_ours_do_no_harm(damage: str, tmp_path: Path) -> None:
    """Whatever stands in their place, the rest is shown."""
    made = convert_text("label,a\n0,1\n1,2\n1,x\n", tmp_path / "d", make_options(on_bad_row="skip"))
    path = made.folder / "rejects.jsonl"
    path.unlink()
    if damage == "link":
        path.symlink_to("/dev/zero")
    elif damage:
        path.write_text(damage)
    assert inspect_dataset(str(made.folder)).reasons == {}


def test_hostile_names_stay_names(tmp_path: Path, pipeline_command: Command) -> None:
    """Names that would break out of code are literals there; on a terminal they are escaped."""
    made = convert_text("label,a\n0,1\n1,2\n", tmp_path / "d", make_options())
    name = '"] + [__import__("os")] #\x1b[2J'

    def rename(tree: dict[str, Any]) -> None:
        tree["columns"][0]["name"] = tree["label"]["name"] = name

    rewrite(made.folder, rename)
    for piece in inspect_dataset(str(made.folder)).code:
        compile(piece.code, piece.name, "exec")
        assert "\x1b" not in piece.code
    assert "\x1b" not in pipeline_command("inspect", made.folder).stdout


def test_datasets_and_sources_are_told_apart(made: Dataset) -> None:
    """A folder with a manifest is a dataset; a file, or a folder of files, is a source."""
    source = made.folder.parent / "source.csv"
    assert [is_dataset(str(path)) for path in (made.folder, source, source.parent)] == [True, False, False]
    assert len(inspect_source([str(source.parent)]).files) == 1
