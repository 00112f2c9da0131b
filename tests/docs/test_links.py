"""Links within the documents lead somewhere."""

from __future__ import annotations

import re

import pytest

from support.documents import ROOT, document

DOCUMENTS = [
    "README.md",
    "CHANGELOG.md",
    "data/README.md",
    "benchmarks/README.md",
    *(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md")),
]


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_links_lead_somewhere(name: str) -> None:
    """Every relative link names a file that is there, and every anchor a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", document(name)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (ROOT / name).parent / path if path else ROOT / name
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked.read_text(encoding="utf-8")), target
