"""What mkdocs must be told beyond mkdocs.yml: pages that are not in docs/, and links between all of them.

README, data, benchmarks and changelog lie where one looks for them in a repository; the page of the commands
is made of their `--help`. Links are written as they work in the repository, and are made to work in the site.
"""  # noqa: INP001  # not a package

from __future__ import annotations

import inspect
import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# Pages from elsewhere in the repository: where they come from, and where they are in the site.
ELSEWHERE = {
    "README.md": "index.md",
    "data/README.md": "data.md",
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
}
ORIGINS = {page: origin for origin, page in ELSEWHERE.items()}
PICTURES = "benchmarks/results"
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
WIDE = 40  # characters that fit into the column of options
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let pages that mkdocs.yml does not place come last, so that none is lost."""
    placed = set(re.findall(r"[\w./-]+\.md", str(config.nav)))
    others = sorted(
        path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir).rglob("*.md")
    )
    if left := [page for page in others if page not in placed]:
        config.nav = [*(config.nav or []), {"More": left}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/, and the pictures they show."""
    for origin, page in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / origin).read_text(encoding="utf-8")))
    for picture in sorted((ROOT / PICTURES).glob("*.png")):
        files.append(File.generated(config, f"{PICTURES}/{picture.name}", abs_src_path=str(picture)))
    files.append(File.generated(config, "cli.md", content=commands_page()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with links that work in the site."""
    del config
    here = page.file.src_uri
    origin = ORIGINS.get(here, f"docs/{here}")

    def relinked(found: re.Match[str]) -> str:
        mark, text, path, anchor = found[1], found[2], found[3], found[4] or ""
        if not path or "://" in path:
            return found[0]
        linked = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        place = ELSEWHERE.get(linked, linked.removeprefix("docs/"))
        if files.get_file_from_path(place) is None and (ROOT / linked).exists():
            return text  # a script, or whatever else is no page
        return f"{mark}[{text}]({posixpath.relpath(place, posixpath.dirname(here) or '.')}{anchor})"

    return _outside_code(markdown, relinked)


def _outside_code(markdown: str, relinked: Callable[[re.Match[str]], str]) -> str:
    """Return the text with all links replaced but those that are code.

    In code, a bar is itself: only where a repository is shown must it be escaped within a table.
    """
    pieces, end = [], 0
    for code in CODE.finditer(markdown):
        pieces += [LINK.sub(relinked, markdown[end : code.start()]), code[0].replace("\\|", "|")]
        end = code.end()
    return "".join([*pieces, LINK.sub(relinked, markdown[end:])])


def commands_page() -> str:
    """Return the page of all commands, from the texts of their `--help`."""
    sys.path.insert(0, str(ROOT))
    from pipeline.cli import cli  # noqa: PLC0415  # the package of this repository
    from pipeline.cli.manual import STATUSES  # noqa: PLC0415

    parts = [
        "# Commands\n",
        "What `--help` of each command says, which all of them take. Sizes: `64MiB`, `1GB`, `500k`.\n",
        *_group(cli, "pipeline"),
        "## Exit status\n",
        STATUSES.replace("see docs/errors.md", "see [errors](errors.md)"),
    ]
    return "\n".join(parts) + "\n"


def _group(group: click.Group, path: str) -> Iterator[str]:
    context = click.Context(group, info_name=path)
    yield from _command(group, path)
    for name in group.list_commands(context):
        command = group.commands[name]
        if isinstance(command, click.Group):
            yield from _group(command, f"{path} {name}")
        else:
            yield from _command(command, f"{path} {name}")


def _command(command: click.Command, path: str) -> Iterator[str]:
    """Yield heading, usage, description, examples and options of a command."""
    from pipeline.cli.manual import by_section  # noqa: PLC0415

    context = click.Context(command, info_name=path)
    yield f"## {path}\n"
    yield f"```console\n{path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\nExamples:\n")
    yield f"{text.strip()}\n"
    if examples:
        yield f"```console\n{inspect.cleandoc(examples)}\n```\n"
    for heading, options in by_section(command.params):
        yield f"| {heading} | |\n|---|---|"
        for option in options:
            yield _row(option, context)
        yield ""


def _row(option: click.Option, context: click.Context) -> str:
    """Return the row of an option; many choices stand beside it, as the page is not that wide."""
    names, text = option.get_help_record(context) or ("", "")
    if isinstance(option.type, click.Choice) and len(names) > WIDE:
        names = names.partition(" [")[0]
        text = f"{text} One of {', '.join(f'`{choice}`' for choice in option.type.choices)}."
    text = " ".join(text.split()).replace("|", "\\|")
    return f"| `{names}` | {text} |"
