"""Which readers return wrong numbers from a damaged or odd CSV without a word?

Method: the fixtures of tests/support/fixtures, small files made by code, each with what it says or why it
cannot be read, as Python's `csv` and `float` have it (tests/conformance). Those about options that only some
readers have (rows set aside, values filled) are left out. Each reader reads each file by a call of its own
documentation, once with its defaults and once with all types given (csv_readers.py); ours by the command, as
a process of its own, without standardizing, and the records of its shards are compared as a multiset.
Features are compared as float32, in which ours are stored. Verdicts (tests/support/verdicts.py):

    right           the text's records and values, or what it may be taken for by some convention
    error           and the file is at fault
    refused         an error, though the file can be read
    to be seen      no error, but a warning, nulls, infinities, text for numbers, other columns
    silently wrong  none of these, and another number of records, or a number that is not the text's

Nulls for `NA`, for fields that a row lacks and for blank lines are conventions, and to be seen; nobody is
charged with them. Of ours, whatever is neither right nor an error is charged. What shows only in large files
(a quoted line end on the border of a reader's blocks) is not asked here.

Conclusion: benchmarks/README.md. What is lost without a word is the rest of a file behind a quote that is
never closed, a fraction among integers, and the first column of rows that are too long.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from csv_readers import OURS, READERS, TYPED, types_of
from measure import finish

from support.fixtures import all_fixtures
from support.plain_csv import Excused
from support.verdicts import judge

if TYPE_CHECKING:
    from csv_readers import Reader

    from support.fixtures import Fixture
    from support.verdicts import Table, Verdict

COMMAND = "python benchmarks/bench_silent.py"
FAMILIES = {
    "structure": ("clothes", "header", "blank lines", "field count", "delimiter", "CR alone", "size"),
    "quotes": ("quoted", "stray quote", "closed quote", "unclosed quote"),
    "numbers": ("spelled number", "no number", "separators", "too large", "integers", "late", "spread"),
    "missing": ("missing", "infinite", "filled"),
    "ends": ("end", "empty"),
    "bytes": ("no text", "no CSV"),
    "compressed": ("packed", "damaged"),
    "labels": ("label",),
}


def main() -> None:
    """Ask all readers, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the results here, too")
    given = parser.parse_args()
    fixtures = {name: f for name, f in all_fixtures().items() if f.excused == Excused()}
    results = [report(reader, verdicts_of(reader, fixtures), fixtures) for reader in READERS]
    figures = {
        "fixtures": len(fixtures),
        "ours, silently wrong": next(r["totals"]["silent"] for r in results if r["name"] == OURS),
    }
    finish(given, results, figures, command=COMMAND)


def verdicts_of(reader: Reader, fixtures: dict[str, Fixture]) -> dict[str, Verdict]:
    """Return the verdict on what a reader makes of each fixture."""
    found: dict[str, Verdict] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, fixture in fixtures.items():
            path = Path(folder) / f"raw{fixture.suffix}"
            path.write_bytes(fixture.stored)
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                table = asked(reader, path, fixture)
            found[name] = judge(fixture, table, warned=bool(warned))
            if reader.package == OURS and found[name] == "shown":
                found[name] = "silent"
            path.unlink()
    return found


def asked(reader: Reader, path: Path, fixture: Fixture) -> Table | None:
    """Return what a reader makes of a file, or None where it tells an error."""
    try:
        return reader.read(path, fixture, types_of(fixture) if reader.how == TYPED else {})
    except Exception:  # noqa: BLE001  # each has its own
        return None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Polars tells some errors by it
            raise
        return None


def report(reader: Reader, verdicts: dict[str, Verdict], fixtures: dict[str, Fixture]) -> dict[str, Any]:
    """Return the counts of a reader as JSON, in all and by family, and what it got wrong by name."""
    families = {
        family: Counter(v for name, v in verdicts.items() if fixtures[name].topic in topics)
        for family, topics in FAMILIES.items()
    }
    totals = Counter(verdicts.values())
    if sum(map(Counter.total, families.values())) != totals.total():
        sys.exit("a topic of the fixtures is in no family")
    name = f"{reader.package}, {reader.how}" if reader.how else reader.package
    print(f"{name:28}", *(f"{verdict} {totals[verdict]:3}" for verdict in ORDER), flush=True)
    return {
        "name": name,
        "call": reader.call,
        "totals": {verdict: totals[verdict] for verdict in ORDER},
        "families": {
            family: {verdict: count[verdict] for verdict in ORDER} for family, count in families.items()
        },
        "silent": [name for name, verdict in verdicts.items() if verdict == "silent"],
    }


ORDER: tuple[Verdict, ...] = ("right", "told", "refused", "shown", "silent")


if __name__ == "__main__":
    main()
