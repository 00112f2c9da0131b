"""Every command explains itself and is told of in the documents."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click
import pytest

from pipeline.cli import cli
from support.documents import ROOT, document

if TYPE_CHECKING:
    from collections.abc import Iterator


def commands(group: click.Group, path: str = "pipeline") -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, with the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(cli))
TERMS = {"activation", "optimizer", "learning_rate"}  # terms of the trade; the values are shown


def examples(command: click.Command) -> list[str]:
    """Return the command lines that a command's help shows, as a shell would see them."""
    text = str(command.help)
    return [line.strip() for line in text.splitlines() if re.match(r"\s+pipeline ", line)]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_that_is_accepted(name: str) -> None:
    """Each example in the help of a command calls that command, with options and values it accepts."""
    shown = examples(COMMANDS[name])
    assert shown, "the help of every command has an example"
    for line in shown:
        assert line.startswith(name)
        words = shlex.split(line, comments=True)[len(name.split()) :]
        COMMANDS[name].make_context(name, words)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name: str) -> None:
    """No option is without an explanation, but those whose name is one."""
    options = [parameter for parameter in COMMANDS[name].params if isinstance(parameter, click.Option)]
    assert {option.name for option in options if not option.help} <= TERMS


@pytest.mark.parametrize("name", COMMANDS)
def test_documents_mention_every_command(name: str) -> None:
    """README or docs tell of every command."""
    pages = ["README.md", "data/README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
    assert any(name in document(page) for page in pages)
