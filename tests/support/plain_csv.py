"""The oracle of what a CSV says: `csv`, `float` and the words of docs/format.md, and none of our code."""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal[
    *("feature", "boolean", "datetime", "category", "label", "text label"),
    *("kept number", "kept integer", "kept text", "dropped"),
]

MISSING = {"", "na", "n/a", "nan", "+nan", "-nan", "null", "none", "?", "-", "#n/a", "\\n"}
INFINITE = {sign + word for sign in ("", "+", "-") for word in ("inf", "infinity")}
FILLED = {"feature", "boolean", "datetime", "category", "kept number"}
NUMBER_CHARACTERS = set("0123456789+-.eE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Excused:
    """Which rows may be set aside, and whether features that are missing are filled."""

    bad_rows: bool = False
    missing: bool = False
    fill: bool = False
    nonfinite: bool = False


@dataclass(slots=True, kw_only=True)
class PlainReading:
    """What a text holds: records as (line, values), rows set aside and the first fault as (line, code)."""

    records: list[tuple[int, tuple[float | int | str, ...]]] = field(default_factory=list)
    rejects: list[tuple[int, str]] = field(default_factory=list)
    fault: tuple[int, str] | None = None
    num_blank: int = 0


class _FaultError(Exception):
    """A code, and with it the end of a row."""


def read_plainly(
    data: bytes,
    kinds: Sequence[Kind],
    *,
    delimiter: str = ",",
    has_header: bool = True,
    excused: Excused | None = None,
) -> PlainReading:
    """Return what `data` holds, its columns being of these kinds; the first row may be the header."""
    excused = excused or Excused()
    data = data.removeprefix(b"\xef\xbb\xbf")
    readable, unreadable_line = _readable(data)
    found = PlainReading()
    csv.field_size_limit(sys.maxsize)  # else a cell of more than 131,072 characters is a fault
    rows = csv.reader(io.StringIO(readable, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None if has_header else []
    line = 1
    try:
        for row in rows:
            begin, line = line, rows.line_num + 1
            if row == [] or (len(row) == 1 and row[0].strip(" \t") == "" and row[0] != ""):
                found.num_blank += 1
            elif header is None:
                header = row
            else:
                try:
                    found.records.append((begin, _values(row, kinds, header, excused)))
                except _FaultError as fault:
                    code = str(fault)
                    if not _is_excused(code, excused):
                        found.fault = (begin, code)
                        return found
                    found.rejects.append((begin, code))
    except csv.Error as error:
        if "unexpected end" not in str(error):
            found.fault = (line, "E111")
        elif unreadable_line is None:
            found.fault = (_line_of_open_quote(readable, delimiter), "E111")
    if found.fault is None and unreadable_line is not None:
        found.fault = (unreadable_line, "E112")
    return found


def _readable(data: bytes) -> tuple[str, int | None]:
    """Return the text up to the first line that is no text, and the number of that line."""
    lines = data.replace(b"\r\n", b"\n\n").replace(b"\r", b"\n").split(b"\n")
    done = 0
    for at, line in enumerate(lines):
        if not _is_text(line):
            before = data[:done]
            return before.decode(), at + 1 - before.count(b"\r\n")
        done += len(line) + 1
    return data.decode(), None


def _is_text(line: bytes) -> bool:
    try:
        return "\0" not in line.decode()
    except UnicodeDecodeError:
        return False


def _line_of_open_quote(text: str, delimiter: str) -> int:
    """Return the line on which the quote stands that is never closed, character by character."""
    opened = 0
    state = "field begins"
    for at, character in enumerate(text):
        if state == "quoted":
            state = "quote in quotes" if character == '"' else state
        elif state == "quote in quotes" and character == '"':
            state = "quoted"
        elif character in {delimiter, "\n", "\r"}:
            state = "field begins"
        elif state == "field begins" and character == '"':
            state, opened = "quoted", at
        else:
            state = "unquoted"
    return len(io.StringIO(text[:opened] + "x", newline="").readlines())


def _is_excused(code: str, excused: Excused) -> bool:
    return {"E104": excused.missing, "E105": excused.nonfinite}.get(code, excused.bad_rows)


def _values(
    row: list[str], kinds: Sequence[Kind], header: list[str], excused: Excused
) -> tuple[float | int | str, ...]:
    if len(row) != len(kinds):
        raise _FaultError("E102")
    try:
        return tuple(
            _value(cell, kind, fill=excused.fill)
            for cell, kind in zip(row, kinds, strict=True)
            if kind != "dropped"
        )
    except _FaultError:
        if row == header:
            raise _FaultError("E107") from None
        raise


def _value(cell: str, kind: Kind, *, fill: bool) -> float | int | str:
    text = cell.strip(" \t")
    is_missing = text == "" if kind == "category" else text.lower() in MISSING
    if kind == "kept text":
        return cell
    if is_missing and not (fill and kind in FILLED):
        raise _FaultError("E104")
    if kind in {"text label", "category"}:
        return "" if is_missing else text
    if kind == "kept integer":
        return _integer(text)
    if is_missing:
        return math.nan
    if text.lower() in INFINITE:
        raise _FaultError("E103" if kind in {"boolean", "datetime"} else "E105")
    if kind == "boolean":
        return _boolean(text)
    return _seconds(text) if kind == "datetime" else _number(text)


def _boolean(text: str) -> float:
    if text.lower() not in {"true", "false"}:
        raise _FaultError("E103")
    return float(text.lower() == "true")


def _seconds(text: str) -> float:
    """Return the seconds since 1970 of a date or time, taken apart character by character."""
    day, rest = text[:10], text[10:]
    sign, hours, minutes = 1, "00", "00"
    if rest.endswith("Z") and len(rest) > 1:
        rest = rest[:-1]
    elif rest[-6:-5] in {"+", "-"} and rest[-3:-2] == ":":
        rest, (sign, hours, minutes) = rest[:-6], (-1 if rest[-6] == "-" else 1, rest[-5:-3], rest[-2:])
        if not rest:
            raise _FaultError("E103")
    clock, _, fraction = rest.partition(".")
    shape = "".join("9" if character in "0123456789" else character for character in day + clock)
    shape = shape.replace("T", " ", 1)
    if shape not in {"9999-99-99", "9999-99-99 99:99", "9999-99-99 99:99:99"}:
        raise _FaultError("E103")
    if "." in rest and (len(clock) != len("T99:99:99") or not 1 <= len(fraction) <= 9):
        raise _FaultError("E103")
    parts = [*day.split("-"), *(clock[1:].split(":") if clock else [])]
    if set("".join((*parts, hours, minutes, fraction))) - set("0123456789") or len(hours + minutes) != 4:
        raise _FaultError("E103")
    if int(hours) > 23 or int(minutes) > 59:
        raise _FaultError("E103")
    try:
        moment = dt.datetime(*map(int, parts), tzinfo=dt.UTC)
    except ValueError:
        raise _FaultError("E103") from None
    whole = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    offset = sign * (int(hours) * 3600 + int(minutes) * 60)
    seconds = whole.days * 86_400 + whole.seconds - offset
    return float(seconds * 1_000_000 + int(fraction[:6].ljust(6, "0"))) / 1e6


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    if len(text) - len(digits) > 1 or not digits or set(digits) - set("0123456789"):
        raise _FaultError("E103")
    significant = digits.lstrip("0") or "0"
    value = int(significant) if len(significant) < 30 else 1 << 64
    value = -value if text[0] == "-" else value
    if not -(2**63) <= value < 2**63:
        raise _FaultError("E103")
    return value


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _FaultError("E103") from None
    if set(text) - NUMBER_CHARACTERS:
        raise _FaultError("E103")
    if math.isinf(value):
        raise _FaultError("E105")
    return value
