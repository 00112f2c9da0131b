"""What a fuzzer calls with any bytes: a source is planned, cut in several ways, read, and an oracle agrees.

The first bytes of an input say how the rest, a file, is read; so a fuzzer varies both. Nothing here needs a
fuzzer: tests/fuzz/test_replay.py calls it with the seeds, tests/fuzz/fuzz_source.py with what atheris finds.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.convert import make_plan
from pipeline.errors import InputError
from pipeline.source import careful, fast
from pipeline.source.sniff import sniff
from support.datasets import make_options
from support.fixtures import Fixture, Records, all_fixtures
from support.hard_texts import EXCUSES, GOOD, HOSTILE, LAYOUTS, RAW_LINES, joined, names_of
from support.our_reading import Grid, Reading, as_columns, bits, read_ours
from support.plain_csv import Excused, read_plainly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pipeline.plan import ConvertOptions, ConvertPlan
    from pipeline.schema import Column
    from pipeline.source.parsed import ParsedRange
    from support.plain_csv import Kind

CONTROL_BYTES = 7
MAX_SEED_BYTES = 4096
MAX_CUT_BYTES = 1 << 16  # of text: a compressed input may hold much more, which is read as a whole alone
DELIMITERS = (None, ",", ";", "\t", "|", " ")
ROLES = ("feature", "keep", "drop", "category", "datetime")
NUM_DIGITS = 6  # 5⁶ roles fit into two bytes; further columns begin anew
MAX_WORD = 20  # libFuzzer takes no long ones
MAX_RANGES = 24  # more of them cost time and show nothing new
WHOLE = Grid()


def _unpack_zstd(data: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        return bytes(stream.read())


UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "zstd": _unpack_zstd,
    "bzip2": bz2.decompress,
    "xz": lzma.decompress,
}
MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")
UNPACK_ERRORS = (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """How a file is read, as the first bytes of an input say it."""

    delimiter: str | None
    has_header: bool
    label_at: int
    role_digits: int
    excused: Excused
    range_bytes: int

    def grids(self, text_bytes: int) -> tuple[Grid, Grid]:
        """Return two ways of cutting a text of this size."""
        least = text_bytes // MAX_RANGES + 1
        return (
            Grid(range_bytes=max(self.range_bytes, least)),
            Grid(range_bytes=max(self.range_bytes // 2, least), streamed=True),
        )

    def options(self, names: Sequence[str]) -> ConvertOptions:
        """Return the options of a conversion of columns with these names, of which one is a feature."""
        label = names[self.label_at % len(names)]
        others = [name for name in names if name != label]
        roles = {
            name: ROLES[self.role_digits // len(ROLES) ** (at % NUM_DIGITS) % len(ROLES)]
            for at, name in enumerate(names)
            if name != label
        }
        if not set(roles.values()) - {"keep", "drop"} and others:
            roles[others[0]] = "feature"

        def called(role: str) -> tuple[str, ...]:
            return tuple(name for name, found in roles.items() if found == role)

        return make_options(
            label=label,
            keep=called("keep"),
            drop=called("drop"),
            categorical=called("category"),
            datetime=called("datetime"),
            delimiter=self.delimiter,
            has_header=self.has_header,
            on_bad_row="skip" if self.excused.bad_rows else "error",
            on_missing="drop" if self.excused.missing else "mean" if self.excused.fill else "error",
            on_nonfinite="drop" if self.excused.nonfinite else "error",
            standardize=False,
        )


def decoded(data: bytes) -> tuple[Control, bytes]:
    """Return what an input says of how to read, and the file."""
    given = data[:CONTROL_BYTES].ljust(CONTROL_BYTES, b"\0")
    control = Control(
        delimiter=DELIMITERS[given[0] % len(DELIMITERS)],
        has_header=given[1] % 8 != 7,
        label_at=given[2],
        role_digits=given[3] + 256 * given[6],
        excused=EXCUSES[given[4] % len(EXCUSES)],
        range_bytes=given[5] + 1,
    )
    return control, data[CONTROL_BYTES:]


def encoded(fixture: Fixture, range_bytes: int) -> bytes:
    """Return an input that reads a fixture as it is meant to be read."""
    digits = sum(
        len(ROLES) ** at * ROLES.index(role_of(kind)) for at, kind in enumerate(fixture.kinds[:NUM_DIGITS])
    )
    at = next(at for at, kind in enumerate(fixture.kinds) if "label" in kind)
    excused = EXCUSES.index(fixture.excused) if fixture.excused in EXCUSES else 0
    places = (
        DELIMITERS.index(fixture.delimiter),
        0 if fixture.has_header else 7,
        at,
        digits % 256,
        excused,
        range_bytes - 1,
        digits // 256,
    )
    return bytes(places) + fixture.stored


def dictionary() -> bytes:
    """Return words that a fuzzer may put in, in the form that libFuzzer reads."""
    words = {*HOSTILE, *RAW_LINES, *(word for words in GOOD.values() for word in words)}
    short = [word.encode() for word in sorted(words) if 0 < len(word) <= MAX_WORD]
    escaped = ["".join(f"\\x{byte:02x}" for byte in word) for word in short]
    return "".join(f'"{word}"\n' for word in escaped).encode()


def role_of(kind: Kind) -> str:
    """Return the role in which the option names a column of this kind."""
    if kind.startswith("kept"):
        return "keep"
    return {"dropped": "drop", "category": "category", "datetime": "datetime"}.get(kind, "feature")


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield an input for every fixture that is not large, and for all kinds of columns, each with a name."""
    for number, (name, fixture) in enumerate(all_fixtures().items()):
        if len(fixture.stored) <= MAX_SEED_BYTES:
            yield name, encoded(fixture, 1 + 37 * number % 256)
    for number, kinds in enumerate(LAYOUTS):
        names = names_of(kinds)
        first = [[cell for cell in GOOD[kind] if cell and "\n" not in cell] for kind in kinds]
        rows = [names, *([cells[at % len(cells)] for cells in first] for at in range(12))]
        text = "".join(joined(row, ",", 2) + "\n" for row in rows).encode()
        fixture = Fixture(name="", text=text, kinds=kinds, expected=Records(rows=()))
        yield f"kinds: {', '.join(kinds)}", encoded(fixture, 1 + 37 * number % 256)


def check_input(data: bytes, path: Path) -> str:
    """Read an input as the file `path`; return "refused", "faulty" or "read", and fail if that is wrong.

    Only InputError may come from below. What is read is the same however it is cut, and what `csv` and
    `float` read; a fault is theirs too, on the same line; so is one of quotes or bytes that the plan tells.
    """
    control, file = decoded(data)
    path.write_bytes(file)
    try:
        sniffed = sniff(path, delimiter=control.delimiter, has_header=control.has_header)
        plan = make_plan(path, control.options(sniffed.names))
    except InputError as error:
        check_refusal(error, control, file)
        return "refused"
    text = text_of(plan, file)
    found = read_ours(plan, WHOLE)
    text_bytes = len(file if text is None else text)
    if text_bytes <= MAX_CUT_BYTES:
        for grid in control.grids(text_bytes):
            assert read_ours(plan, grid) == found, grid
    if text is None:
        assert found.fault is not None, "read from compressed data that their own library refuses"
    elif found.fault is None or found.fault[1] != "E113":
        assert found == expected_of(plan, control, text)
        check_parsers(plan, text[plan.files[0].text_offset :])
    return "faulty" if found.fault else "read"


def check_refusal(error: InputError, control: Control, file: bytes) -> None:
    """Fail unless quotes or bytes that the plan refuses, with a line, are a fault for the oracle there."""
    if error.line is None or error.code not in {"E111", "E112"} or file.startswith(MAGIC):
        return
    plain = read_plainly(
        file,
        ("dropped", "dropped"),
        delimiter=control.delimiter or ",",
        has_header=control.has_header,
        excused=Excused(bad_rows=True),
    )
    assert plain.fault == (error.line, error.code), error


def text_of(plan: ConvertPlan, file: bytes) -> bytes | None:
    """Return the text of a file as others unpack it, None where they refuse."""
    compression = plan.files[0].compression
    try:
        return file if compression == "none" else UNPACKERS[compression](file)
    except UNPACK_ERRORS:
        return None


def expected_of(plan: ConvertPlan, control: Control, text: bytes) -> Reading:
    """Return what the oracle makes of a text whose columns are those of the plan."""
    kinds = tuple(map(kind_of, plan.schema.columns))
    plain = read_plainly(
        text,
        kinds,
        delimiter=plan.dialect.delimiter,
        has_header=control.has_header,
        excused=control.excused,
    )
    return as_columns(plain, kinds, plan.schema.names)


def kind_of(column: Column) -> Kind:
    """Return what the oracle calls a column of the plan."""
    kinds: dict[tuple[str, str], Kind] = {
        ("label", "text"): "text label",
        ("label", "number"): "label",
        ("keep", "number"): "kept number",
        ("keep", "integer"): "kept integer",
        ("keep", "text"): "kept text",
        ("category", "text"): "category",
        ("feature", "number"): "feature",
        ("feature", "boolean"): "boolean",
        ("feature", "datetime"): "datetime",
    }
    return "dropped" if column.role == "drop" else kinds[column.role, column.reading]


def check_parsers(plan: ConvertPlan, body: bytes) -> None:
    """Fail unless the fast parser, and what it mends, come to the same as the careful one, fault or not."""
    quick, slow = (outcome_of(parse, body, plan) for parse in (fast.parse, careful.parse))
    assert quick == slow


def outcome_of(parse: Callable[[bytes, ConvertPlan], ParsedRange], body: bytes, plan: ConvertPlan) -> Any:
    """Return all that a parser finds in a text, or its error, in a form that compares to the last bit."""
    try:
        found = parse(body, plan)
    except InputError as error:
        return str(error), error.hint
    rejects = [(r.record_index, r.line, r.byte_offset, r.column, r.reason, r.text) for r in found.rejects]
    return (
        (found.num_records, found.num_lines, found.num_blank, rejects),
        None if found.kept is None else found.kept.tolist(),
        [bits(row.tolist()) for row in found.numbers],
        found.integers.tolist(),
        [text.to_pylist() for text in found.texts],
    )
