"""The documents as a site: it builds without a warning, holds every page, loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import click
import pytest

from pipeline.cli import cli
from support.documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOADING = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "use": "href"}


class Loads(HTMLParser):
    """What a browser loads by itself to show a page, and the anchors in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag refers to."""
        given = dict(attrs)
        if address := given.get(LOADING.get(tag, "")):
            self.loaded.append(address)
        if tag == "a":
            self.links.append(given.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it, with warnings as errors, in a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        check=False,
        cwd=ROOT,
        encoding="utf-8",
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert (done.returncode, done.stdout) == (0, "")
    return folder


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command and group with the words that call it."""
    yield path, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_every_document_is_a_page(site: Path) -> None:
    """Each file of docs/ is a page, and so are README, data, benchmarks, changes and commands."""
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    documents = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    made = {"index.html", "data.html", "benchmarks.html", "changelog.html", "cli.html", "404.html"}
    assert pages == made | {path.with_suffix(".html").as_posix() for path in documents}


def test_every_page_can_be_reached(site: Path) -> None:
    """The navigation of the first page leads to each of the others."""
    links = {
        link.partition("#")[0] for link in Loads((site / "index.html").read_text(encoding="utf-8")).links
    }
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")} - {"404.html"}
    assert pages <= links


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """Scripts, styles, pictures and fonts of every page lie in the site; no page is drawn by a service."""
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        loaded = Loads(page).loaded
        assert [address for address in loaded if re.match(r"(\w+:)?//", address)] == [], path
        base = site if path.name == "404.html" else path.parent
        assert all((base / address.partition("?")[0].lstrip("/")).is_file() for address in loaded), path
        assert 'class="mermaid"' not in page
    for path in site.rglob("*.css"):
        assert (
            re.findall(r"(?:url\(|@import)\s*[\"']?(?:\w+:)?//[^)]*", path.read_text(encoding="utf-8")) == []
        )


def test_every_option_is_on_the_page_of_commands(site: Path) -> None:
    """The page has a heading for each command, and below it every one of its options, once."""
    page = (site / "cli.html").read_text(encoding="utf-8")
    parts = re.split(r'<h2 id="([^"]+)">', page)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    for path, command in commands(cli, "pipeline"):
        told = re.findall(r"<td><code>([^<]+)</code></td>", sections[path.replace(" ", "-")])
        options = [option for option in command.params if isinstance(option, click.Option)]
        assert len(told) == len(options)
        for option in options:
            assert sum(bool(re.search(rf"{option.opts[-1]}(?![\w-])", row)) for row in told) == 1
