"""A shell completes commands, options, files, and the names of a source's columns."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from pipeline.cli.manual import COMPLETION, by_section
from support.command import ROOT

if TYPE_CHECKING:
    from support.command import Command

[LINE] = [line for place, line in COMPLETION if "bash" in place]
TRY = f"""
{LINE}
COMP_WORDS=({{words}}); COMP_CWORD={{last}}
_pipeline_completion pipeline
printf '%s\\n' "${{{{COMPREPLY[@]}}}}"
"""


def completed(folder: Path, *words: str) -> list[str]:
    """Return what bash offers for the last of `words`, the ones before it being typed."""
    done = subprocess.run(
        ["bash", "-c", TRY.format(words=" ".join(f"'{word}'" for word in words), last=len(words) - 1)],
        capture_output=True,
        check=True,
        cwd=folder,
        encoding="utf-8",
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
        },
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.skipif(
    shutil.which("pipeline", path=str(Path(sys.executable).parent)) is None, reason="no program"
)
def test_bash_completes(tmp_path: Path) -> None:
    """Once the line of `pipeline --help` was run, bash completes commands, options, values and columns."""
    (tmp_path / "raw.csv").write_text("label,mass,momentum\n1,2,3\n")
    assert completed(tmp_path, "pipeline", "con") == ["convert"]
    assert "--on-missing" in completed(tmp_path, "pipeline", "convert", "--on-m")
    assert completed(tmp_path, "pipeline", "convert", "raw.csv", "shards/", "--drop", "m") == [
        "mass",
        "momentum",
    ]


def offered(monkeypatch: pytest.MonkeyPatch, command: Command, words: str, typed: str) -> list[str]:
    """Return what the program offers a shell for `typed` after `words`."""
    with monkeypatch.context() as patch:
        patch.setenv("_PIPELINE_COMPLETE", "bash_complete")
        patch.setenv("COMP_WORDS", f"{words} {typed}")
        patch.setenv("COMP_CWORD", str(len(words.split())))
        return command().stdout.split()


@pytest.mark.parametrize("line", ["convert raw.csv", "convert raw.csv shards/", "inspect raw.csv"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_names_of_columns_come_from_the_source(
    line: str, pack: type[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline_command: Command
) -> None:
    """The header of the first file on the line is what is offered, whatever its delimiter."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw.csv").write_bytes(pack(b"\xef\xbb\xbf# label; mass;time\r\n1;2;3\r\n"))
    assert offered(monkeypatch, pipeline_command, f"pipeline {line} --label", "") == [
        "plain,label",
        "plain,mass",
        "plain,time",
    ]
    assert offered(monkeypatch, pipeline_command, f"pipeline {line} --label", "ma") == ["plain,mass"]


@pytest.mark.parametrize("contents", [None, b"", b"\xff\xfe\n", b"\x1f\x8bnone"])
def test_what_cannot_be_read_completes_nothing(
    contents: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline_command: Command
) -> None:
    """No file, no text, no gzip: nothing is offered, and nothing goes wrong."""
    monkeypatch.chdir(tmp_path)
    if contents is not None:
        (tmp_path / "raw.csv").write_bytes(contents)
    assert offered(monkeypatch, pipeline_command, "pipeline convert raw.csv --label", "") == []


def test_sources_are_completed_as_files(monkeypatch: pytest.MonkeyPatch, pipeline_command: Command) -> None:
    """Sources and targets are words of their own kind, yet the shell completes names of files."""
    for command in ("convert", "inspect"):
        assert offered(monkeypatch, pipeline_command, f"pipeline {command}", "ra") == ["file,ra"]


def test_options_of_no_section_come_last() -> None:
    """An option that no section names is not lost."""
    known, new = click.Option(["--seed"]), click.Option(["--brand-new"])
    assert list(by_section([new, known])) == [("Dataset", [known]), ("Options", [new])]
