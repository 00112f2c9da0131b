"""Every command explains itself and is told of in the documents."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click
import pytest

from pipeline.cli import cli
from support.documents import ROOT, document, fenced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.command import Command


def commands(group: click.Group, path: str = "pipeline") -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, with the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(cli))
PAGES = [
    "README.md",
    "data/README.md",
    *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")),
]
TERMS = {"activation", "optimizer", "learning_rate"}  # terms of the trade; the values are shown


def examples(command: click.Command) -> list[str]:
    """Return the command lines that a command's help shows, as a shell would see them."""
    text = str(command.help)
    return [line.strip() for line in text.splitlines() if re.match(r"\s+pipeline ", line)]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_examples_that_are_accepted(name: str) -> None:
    """Each example in the help of a command calls that command, with options and values it accepts."""
    shown = examples(COMMANDS[name])
    assert shown, "the help of every command has an example"
    for line in shown:
        assert line.startswith(name)
        words = shlex.split(re.split(" [<>] ", line)[0], comments=True)[len(name.split()) :]
        COMMANDS[name].make_context(name, words)


def shown(page: str) -> list[str]:
    """Return the calls of `pipeline` in the code of a page, those of several lines as one."""
    text = re.sub(r"\\\n\s*", "", document(page))
    code = "\n".join([*fenced(text, "console"), *indented(text)])
    return re.findall(r"^ *(pipeline [a-z].*)$", code, re.MULTILINE)


def indented(text: str) -> list[str]:
    """Return the lines that are code because they are indented."""
    return [line for line in text.splitlines() if line.startswith("    ")]


@pytest.mark.parametrize("page", PAGES)
def test_documents_show_commands_that_are_accepted(page: str) -> None:
    """Each command in a document calls a command there is, with options and values it accepts."""
    for line in shown(page):
        words = shlex.split(re.split(r" (?:[<>|]|\|\|) ", line)[0], comments=True)
        call = next(name for name in COMMANDS if f"{' '.join(words)} ".startswith(f"{name} "))
        arguments = words[len(call.split()) :]
        if "--help" not in arguments:
            COMMANDS[call].make_context(call, arguments)


def test_commands_are_found_in_documents() -> None:
    """Those in fences, those that are indented, those of two lines."""
    assert "pipeline convert raw.csv shards/" in shown("README.md")
    assert "pipeline train shards/ --strategy mirrored" in shown("docs/training.md")
    assert any("--on-missing mean" in line for line in shown("docs/tutorial.md"))


@pytest.mark.parametrize("name", ["pipeline", "pipeline fetch", *COMMANDS])
def test_help_is_a_manual_page(name: str, pipeline_command: Command) -> None:
    """Usage, what it does, examples, options, and of every command the exit statuses, in this order."""
    help_text = pipeline_command(*name.split()[1:], "--help").stdout
    headings = ["Usage:", "\n  Examples:", "--help", *(["\nExit status:"] if name in COMMANDS else [])]
    places = [help_text.index(heading) for heading in headings]
    assert places == sorted(places)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_every_option_once(name: str, pipeline_command: Command) -> None:
    """Every option stands in one section, under what it is about."""
    help_text = pipeline_command(*name.split()[1:], "--help").stdout
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option):
            assert (
                len(re.findall(rf"^  (?:-\w, )?{option.opts[-1]}(?![\w-])", help_text, re.MULTILINE)) == 1
            ), option.name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name: str) -> None:
    """No option is without an explanation, but those whose name is one."""
    options = [parameter for parameter in COMMANDS[name].params if isinstance(parameter, click.Option)]
    assert {option.name for option in options if not option.help} <= TERMS


@pytest.mark.parametrize("name", COMMANDS)
def test_documents_mention_every_command(name: str) -> None:
    """README or docs tell of every command."""
    assert any(name in document(page) for page in PAGES)
