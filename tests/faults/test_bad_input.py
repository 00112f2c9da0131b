"""Bad input ends in one error line with place and hint, exit status 3, and nothing left behind."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.command import Command, Outcome, run_process
from support.refusals import GOOD, assert_refused, converter

if TYPE_CHECKING:
    from collections.abc import Callable

HUGE = "label,mass,pt\n" + "".join(f"{index % 2},{index}e200,{index}\n" for index in range(20))


@pytest.fixture
def convert(
    tmp_path: Path, pipeline_command: Command, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """A function that writes raw.csv, converts it to shards/, and checks that a failure leaves nothing."""
    monkeypatch.chdir(tmp_path)
    return converter(tmp_path, pipeline_command)


@pytest.mark.parametrize(
    ("text", "options", "code", "wording", "hint"),
    [
        pytest.param("", (), "E106", "raw.csv: the file is empty: no header line", "", id="empty"),
        pytest.param("\n\n", (), "E106", "raw.csv: no header line", "", id="blank lines only"),
        pytest.param("\ufeff", (), "E106", "raw.csv: no header line", "", id="byte-order mark only"),
        pytest.param("label,mass\n", (), "E106", "raw.csv: 0 data rows", "header line", id="header only"),
        pytest.param(
            GOOD, ("--label", "lable"), "E108", "--label lable: no such column", "'label'", id="no such label"
        ),
        pytest.param(
            GOOD.replace("label", "signal"),
            (),
            "E108",
            "the columns are signal, mass, pt",
            "--label",
            id="no label",
        ),
        pytest.param(GOOD, ("--drop", "Mass"), "E108", "--drop Mass", "'mass'", id="no such column to drop"),
        pytest.param(
            GOOD.replace("label,mass", "label,pt"),
            (),
            "E107",
            "'pt' in columns 2, 3",
            "name",
            id="duplicate names",
        ),
        pytest.param(GOOD.split("\n", 1)[1], (), "E107", "raw.csv:1: ", "--no-header", id="no header"),
        pytest.param(
            GOOD.replace(",", ";"), (), "E115", "raw.csv:2: 1 column found", "--delimiter ';'", id="delimiter"
        ),
        pytest.param(
            "label,mass,run\n0,1.5,a7\n1,2.5,b8\n", (), "E109", "column 'run'", "--drop run", id="text column"
        ),
        pytest.param(
            "label,run,at\n0,a7,2025-01-01\n1,b8,2025-01-02\n",
            (),
            "E109",
            "column 'run'",
            "2 columns hold text: pipeline inspect",
            id="two text columns",
        ),
        pytest.param(
            GOOD + "0,word,1\n",
            (),
            "E103",
            "raw.csv:22: column 'mass': found 'word'",
            "--on-bad-row",
            id="text",
        ),
        pytest.param(
            GOOD + "0,1,5,1\n",
            (),
            "E102",
            "raw.csv:22: expected 3 fields, found 4",
            "--on-bad-row",
            id="long row",
        ),
        pytest.param(
            GOOD + "0,1\n" + GOOD[14:],
            (),
            "E102",
            "raw.csv:22: expected 3 fields, found 2",
            "skip",
            id="short row",
        ),
        pytest.param(GOOD + "0,1.5,1", (), "", "", "", id="no final line end is no fault"),
        pytest.param(
            GOOD + "0,1.5", (), "E102", "raw.csv:22: expected 3 fields, found 2", "", id="cut in the last row"
        ),
        pytest.param(
            GOOD + "\n\n0,,1\n",
            (),
            "E104",
            "raw.csv:24: column 'mass': no value",
            "--on-missing",
            id="missing",
        ),
        pytest.param(
            GOOD + ",1.5,1\n", (), "E104", "raw.csv:22: column 'label'", "--on-missing", id="missing label"
        ),
        pytest.param(
            GOOD + "0,nan,1\n", ("--on-bad-row", "skip"), "E104", "raw.csv:22", "--on-missing", id="nan"
        ),
        pytest.param(
            GOOD + "0,-inf,1\n",
            (),
            "E105",
            "raw.csv:22: column 'mass': found '-inf'",
            "--on-nonfinite",
            id="inf",
        ),
        pytest.param(
            GOOD + "0,1e400,1\n",
            (),
            "E105",
            "raw.csv:22: column 'mass': 1e400 is too large",
            "",
            id="overflow",
        ),
        pytest.param(
            GOOD + "0,1e39,1\n",
            ("--no-standardize",),
            "E105",
            "raw.csv:22: column 'mass': 1e+39 is too large for float32",
            "standardize",
            id="overflow of float32",
        ),
        pytest.param(HUGE, (), "E105", "raw.csv: column 'mass'", "--drop mass", id="squares overflow"),
        pytest.param(
            GOOD + "0,1e200,1\n", (), "E105", "column 'mass'", "", id="a standardized value overflows"
        ),
        pytest.param(GOOD + '0,"1,1\n', (), "E111", "raw.csv:22: ", "", id="unclosed quote"),
        pytest.param(GOOD + '0,"1"5,1\n', (), "E111", "raw.csv:22: ", "", id="stray quote"),
        pytest.param(GOOD.replace("7.5", "7,5", 1), (), "E102", "raw.csv:9: ", "", id="decimal comma"),
        pytest.param(
            GOOD + "pt,label,mass\n1,0,2\n",
            ("--on-bad-row", "skip"),
            "E107",
            "raw.csv:22: the columns stand here again, in another order: pt, label, mass",
            "name the files",
            id="header in another order",
        ),
        pytest.param(
            GOOD + GOOD, (), "E107", "raw.csv:22: the header line stands here again", "", id="header again"
        ),
    ],
)
def test_text_that_cannot_be_read_exactly(
    convert: Callable[..., Outcome], text: str, options: tuple[str, ...], code: str, wording: str, hint: str
) -> None:
    """File, line, column and value are told, and the option that helps."""
    outcome = convert(text, "--quiet", *options)
    if code:
        assert_refused(outcome, code, wording, hint=hint)
    else:
        assert outcome == Outcome(status=0, stdout="", stderr="")


@pytest.mark.parametrize(
    ("data", "code", "wording"),
    [
        pytest.param(None, "E101", "raw.csv: no such file", id="no such file"),
        pytest.param(GOOD.encode() + b"0,\xe9,1\n", "E112", "raw.csv:22: byte 0xe9", id="not UTF-8"),
        pytest.param(GOOD.encode() + b"0,\0,1\n", "E112", "raw.csv:22: a NUL byte", id="NUL"),
        pytest.param(GOOD.encode("utf-16"), "E112", "looks like UTF-16", id="UTF-16"),
        pytest.param(b"PAR1" + bytes(40), "E112", "looks like a Parquet file", id="Parquet"),
        pytest.param(b"PK\x03\x04" + bytes(40), "E112", "looks like a zip archive", id="zip"),
        pytest.param(GOOD.replace("\n", "\r").encode(), "E112", "carriage returns alone", id="CR"),
        pytest.param(gzip.compress(GOOD.encode())[:-9], "E113", "damaged gzip data", id="cut gzip"),
        pytest.param(gzip.compress(b""), "E106", "no header line", id="empty gzip"),
        pytest.param(
            b"label,a\n0," + b"1" * (3 << 20), "E116", "raw.csv:2: no end of line", id="a line without end"
        ),
    ],
)
def test_bytes_that_are_no_csv(
    convert: Callable[..., Outcome], data: bytes | None, code: str, wording: str
) -> None:
    """What is no readable text is named for what it looks like."""
    assert_refused(convert(data, "--quiet"), code, wording)


@pytest.mark.parametrize("flip", [11, 60, -7, -2])
def test_a_flipped_bit_in_gzip_is_noticed(convert: Callable[..., Outcome], flip: int) -> None:
    """Damage in the data, the checksum or the length of gzip is an error, never other numbers."""
    packed = bytearray(gzip.compress(GOOD.encode(), mtime=0))
    packed[flip] ^= 1
    outcome = convert(bytes(packed), "--quiet")
    assert outcome.status == 3
    assert re.match(r"error\[E1\d\d\] raw\.csv", outcome.stderr)


def test_the_nearest_file_is_suggested(
    pipeline_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt file name is told with the name that may have been meant."""
    monkeypatch.chdir(tmp_path)
    Path("events.csv").write_text(GOOD)
    outcome = pipeline_command("convert", "event.csv", "shards")
    assert_refused(outcome, "E101", "event.csv: no such file", hint="did you mean 'events.csv'?")


def test_a_directory_is_no_source(
    pipeline_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder given as source is told as such."""
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    assert_refused(
        pipeline_command("convert", "folder", "shards"), "E101", "folder: a folder without CSV files"
    )


FAR = 36_000  # rows of 30 bytes: the fault lies beyond the first mebibyte, which the plan looks at


@pytest.mark.parametrize(
    ("row", "code", "wording"),
    [
        ("0,word,1", "E103", "column 'mass': found 'word'"),
        ("0,1", "E102", "expected 3 fields, found 2"),
        ("0,NA,1", "E104", "column 'mass': no value"),
        ("0,inf,1", "E105", "column 'mass': found 'inf'"),
        ("0.5,1,1", "E110", "column 'label': found 0.5"),
        ("  \n\n0.5,1,1", "E110", "column 'label': found 0.5"),
        ('0,"1,1', "E111", "a quote is opened here and never closed"),
    ],
)
def test_a_late_fault_has_its_absolute_line(
    convert: Callable[..., Outcome], row: str, code: str, wording: str
) -> None:
    """A fault far behind what the plan saw is told with the line an editor shows, blank lines included."""
    good = "0,1.000000000000000000e+00,12\n"
    text = "label,mass,pt\n\n" + good * FAR + row + "\n" + good * 100
    line = FAR + 3 + row.count("\n")
    assert_refused(convert(text, "--quiet"), code, f"raw.csv:{line}: {wording}")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("quoted", ["", '"'])
def test_a_fault_in_another_range_has_its_absolute_line(
    convert: Callable[..., Outcome], quoted: str, *, packed: bool
) -> None:
    """In the second byte range too, however it was cut, the line is that of the whole file."""
    good = f"0,1.000000000000000000e+00,{quoted}{'x' * 500}{quoted}\n"
    spanning = '0,1,"spans\nlines"\n' if quoted else "0,1,spans no lines\n"
    text = "label,mass,note\n" + spanning + good * 16_500
    text += f"1,word,x\n{good}"
    assert len(text) > 8 << 20
    data = gzip.compress(text.encode(), 1) if packed else text.encode()
    outcome = convert(data, "--quiet", "--drop", "note")
    assert_refused(outcome, "E103", f"raw.csv:{16_503 + len(quoted)}: column 'mass': found 'word'")


def test_the_first_of_many_faults_is_told(convert: Callable[..., Outcome]) -> None:
    """With several workers, it is always the first fault of the file that is told."""
    good = "0,1.000000000000000000e+00,12\n"
    text = "label,mass,pt\n" + (good * 5000 + "0,word,1\n") * 8
    for _ in range(3):
        assert_refused(convert(text, "--quiet", "--workers", "4"), "E103", "raw.csv:5002: ")


def test_too_many_rejects_end_the_run(convert: Callable[..., Outcome]) -> None:
    """Beyond --max-rejects the run ends, at the row that was one too many."""
    text = GOOD + "0,x,1\n" * 3
    options = ("--quiet", "--on-bad-row", "skip")
    outcome = convert(text, *options, "--max-rejects", "2")
    assert_refused(outcome, "E117", "raw.csv:24: ", hint="--max-rejects")
    assert convert(text, *options, "--max-rejects", "3").status == 0


def test_rows_that_are_all_set_aside_leave_nothing(convert: Callable[..., Outcome]) -> None:
    """If not one row can be read there is no dataset."""
    outcome = convert("label,a,b\n0,1\n0,1,2,3\n0,x,y\n0,1,\n", "--quiet", "--on-bad-row", "skip")
    assert outcome.status == 3
    outcome = convert("label,a,b\n0,x,1\n1,y,2\n", "--quiet", "--on-bad-row", "skip", "--drop", "b")
    assert outcome.status == 3


def test_a_terminal_is_not_steered_by_data(convert: Callable[..., Outcome]) -> None:
    """Escape sequences in the data are shown, not obeyed."""
    outcome = convert(GOOD + "0,\x1b[2Jx\x07,1\n", "--quiet")
    assert_refused(outcome, "E103", r"\x1b[2Jx\x07")
    assert "\x1b" not in outcome.stderr


def test_huge_values_are_carried_where_nothing_is_computed(convert: Callable[..., Outcome]) -> None:
    """A kept column may hold any double; that its squares overflow harms nobody."""
    outcome = convert(HUGE, "--quiet", "--keep", "mass")
    assert outcome == Outcome(status=0, stdout="", stderr="")


def test_the_real_command_says_it_alike(tmp_path: Path) -> None:
    """In a process of its own: one error line, a hint, status 3, nothing left, with --json too."""
    (tmp_path / "raw.csv").write_text(GOOD + "0,word,1\n")
    for options in ((), ("--json",)):
        outcome = run_process("convert", "raw.csv", "shards", *options, cwd=tmp_path)
        assert outcome == Outcome(
            status=3,
            stdout="",
            stderr="error[E103] raw.csv:22: column 'mass': found 'word', expected a number\n"
            "  hint: pass --on-bad-row skip to set such rows aside\n",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["raw.csv"]


def test_parent_folders_made_for_nothing_are_removed(
    pipeline_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure leaves no folder on the way to the target either."""
    monkeypatch.chdir(tmp_path)
    Path("raw.csv").write_text(GOOD + "0,word,1\n")
    assert pipeline_command("convert", "raw.csv", "deep/down/shards").status == 3
    assert [path.name for path in tmp_path.iterdir()] == ["raw.csv"]
