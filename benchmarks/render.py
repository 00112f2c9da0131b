"""Renders benchmarks/README.md: tables and plots of the reports in results/, between their markers.

    <!-- begin convert -->
    … replaced by what results/convert.json says …
    <!-- end convert -->

A report that is not there leaves its place as it is. Usage: python benchmarks/render.py
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import plots
import tables

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    """Render every report there is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=FOLDER / "results")
    parser.add_argument("--readme", type=Path, default=FOLDER / "README.md")
    given = parser.parse_args()
    text = given.readme.read_text(encoding="utf-8")
    for name in tables.TABLES:
        path = given.results / f"{name}.json"
        if not path.exists():
            print(f"no {path.name}: its place is left as it is")
            continue
        text = replaced(text, name, section(name, _read(path), given.results, given.readme.parent))
    given.readme.write_text(text, encoding="utf-8")


def section(name: str, report: dict[str, Any], results: Path, readme_folder: Path) -> str:
    """Return the Markdown of a report; its plot, if it has one, is written beside the results."""
    parts = [_origin(report), tables.TABLES[name](report)]
    if report.get("figures"):
        parts.append(tables.figures(report))
    if name in plots.PLOTS:
        path = results / f"{name}.png"
        plots.save(plots.PLOTS[name](report), path)
        shown = path.relative_to(readme_folder) if path.is_relative_to(readme_folder) else path
        parts.append(f"![{name}]({shown})")
    return "\n\n".join(part for part in parts if part)


def replaced(text: str, name: str, content: str) -> str:
    """Return `text` with `content` between the markers of `name`.

    Raises:
        ValueError: the markers are not there.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    pattern = re.compile(f"{begin}.*?{end}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no place for {name}: expected {begin} and {end}")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def _read(path: Path) -> dict[str, Any]:
    """Return a report; those of other makes are brought into the common form."""
    report = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(report, list):
        return {"results": report}
    if "ratios" in report:
        first = report["results"][0]
        report["figures"] = {f"{first['name']}, records/s": first["records_per_second"]} | report["ratios"]
    return dict(report)


def _origin(report: dict[str, Any]) -> str:
    """Return the command and the machine behind the figures, as far as the report knows them."""
    if "machine" not in report:
        return ""
    machine = report["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    memory = machine["memory_bytes"] / (1 << 30)
    return (
        f"`{report['command']}`\n\n{machine['cores']} cores of {machine['processor']}, {memory:.0f} GiB, "
        f"{machine['system']}, Python {machine['python']}, {packages}."
    )


if __name__ == "__main__":
    main()
