"""Owns the `pipeline convert` command that would do for a source, by what its beginning shows.

It is a command that works as it stands, on text that goes on as it begins: columns of text with few values
are categories, others are carried along; what is missing gets the mean, rows that cannot be read are set
aside.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pipeline.inspect.findings import is_category, is_identifier
from pipeline.schema import DEFAULT_LABELS, Role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.inspect.columns import ColumnFacts
    from pipeline.plan import Dialect

LONG_TEXT = 100  # characters: not worth carrying along
COLUMNS_PER_GIBIBYTE = 20_000  # each takes 16 KiB of libraries' memory; see convert.memory


def suggested_roles(columns: Sequence[ColumnFacts], label: str | None) -> dict[str, Role]:
    """Return the role that each column should have."""
    return {column.name: "label" if column.name == label else _role(column) for column in columns}


def _role(column: ColumnFacts) -> Role:
    if column.holds == "nothing" or (not column.is_numeric and column.mean_length > LONG_TEXT):
        return "drop"
    if is_category(column):
        return "category"
    is_feature = column.is_datetime or (column.is_numeric and not is_identifier(column))
    return "feature" if is_feature else "keep"


def convert_command(
    named: Sequence[str],
    columns: Sequence[ColumnFacts],
    roles: Mapping[str, Role],
    dialect: Dialect,
    *,
    has_uneven_rows: bool,
) -> tuple[str, ...] | None:
    """Return the words of the command for the sources `named`; None where no feature or label is left."""
    label = next((name for name, role in roles.items() if role == "label"), None)
    if label is None or not {"feature", "category"} & set(roles.values()):
        return None
    words = [
        "pipeline",
        "convert",
        *(f"./{name}" if name.startswith("-") and name != "-" else name for name in named),
    ]
    words.append("shards/")
    if dialect.delimiter != ",":
        words += ["--delimiter", {"\t": "\\t"}.get(dialect.delimiter, dialect.delimiter)]
    if not dialect.has_header:
        words.append("--no-header")
    if label != next((name for name in DEFAULT_LABELS if name in roles), None):
        words += _option("--label", label)
    for flag, role in {"--drop": "drop", "--keep": "keep", "--categorical": "category"}.items():
        words += [word for name, found in roles.items() if found == role for word in _option(flag, name)]
    dates = [c.name for c in columns if c.is_datetime and roles[c.name] == "feature"]
    words += [word for name in dates for word in _option("--datetime", name)]
    words += _about_rows(
        [column for column in columns if roles[column.name] != "drop"], roles, has_uneven_rows=has_uneven_rows
    )
    if len(columns) > COLUMNS_PER_GIBIBYTE:
        words += ["--memory", f"{-(-len(columns) // COLUMNS_PER_GIBIBYTE)}GiB"]
    return tuple(words)


def _option(flag: str, name: str) -> list[str]:
    return [f"{flag}={name}"] if name.startswith("-") else [flag, name]


def _about_rows(
    columns: Sequence[ColumnFacts], roles: Mapping[str, Role], *, has_uneven_rows: bool
) -> list[str]:
    """Return what is to be done with rows that cannot be converted as they are."""
    words = []
    if has_uneven_rows or any(column.strays for column in columns):
        words += ["--on-bad-row", "skip"]
    lacking = {roles[column.name] for column in columns if _lacks_values(column, roles[column.name])}
    if lacking:
        words += ["--on-missing", "drop" if "label" in lacking else "mean"]
    if any(column.num_infinite for column in columns):
        words += ["--on-nonfinite", "drop"]
    return words


def _lacks_values(column: ColumnFacts, role: Role) -> bool:
    if role == "category":
        return "" in column.missing  # any word is a value
    return bool(column.missing) and (column.is_numeric or role in {"feature", "label"})


def as_typed(words: Sequence[str], *, width: int | None = None) -> str:
    """Return a command as one types it into a shell; with a `width`, on several lines if it is longer."""
    lines = [""]
    for group in _with_values(words):
        if width and lines[-1] and len(lines[-1]) + len(group) + 3 > width:
            lines.append("   ")
        lines[-1] += f" {group}" if lines[-1] else group
    return " \\\n".join(lines)


def _with_values(words: Sequence[str]) -> list[str]:
    """Return the words, quoted, each option together with its value."""
    groups: list[str] = []
    is_open = False
    for word in words:
        quoted = shlex.quote(word)
        if is_open and not word.startswith("--"):
            groups[-1] += f" {quoted}"
        else:
            groups.append(quoted)
        is_open = word.startswith("--") and "=" not in word
    return groups
