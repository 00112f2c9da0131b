"""Owns the split rule as a value: what was asked for, and which column of the source decides.

Neighbours: `plan` holds it, `source` reads the column by it, `deciding` makes a division of it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.errors import ColumnNotFoundError, OptionError, nearest

if TYPE_CHECKING:
    from pipeline.schema import Column, Role, Schema

RuleName = Literal["key", "stratify", "group", "given", "time"]

FLAGS: dict[RuleName, str] = {
    "key": "--split",
    "stratify": "--stratify",
    "group": "--group-by",
    "given": "--split-by",
    "time": "--time-split",
}
BY_COLUMN = ("group", "given", "time")
BY_SHARES = ("key", "stratify")  # the rules that give exactly the sizes that were asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRule:
    """By what records are divided into splits; `column` is the one that decides, where one does."""

    name: RuleName = "key"
    column: str | None = None

    def __post_init__(self) -> None:
        """Check that a column is named where one is needed.

        Raises:
            OptionError: it is not, or it is where none is needed.
        """
        if (self.column is not None) != (self.name in BY_COLUMN):
            raise OptionError(f"{FLAGS[self.name]}: a column decides in {', '.join(BY_COLUMN)} alone")


def rule_of(
    *,
    stratify: bool = False,
    group_by: str | None = None,
    split_by: str | None = None,
    time_split: str | None = None,
) -> SplitRule:
    """Return the rule that options ask for.

    Raises:
        OptionError: they ask for more than one.
    """
    columns: dict[RuleName, str | None] = {"group": group_by, "given": split_by, "time": time_split}
    asked = [SplitRule(name=name, column=column) for name, column in columns.items() if column is not None]
    asked += [SplitRule(name="stratify")] if stratify else []
    if len(asked) > 1:
        flags = " and ".join(FLAGS[rule.name] for rule in asked)
        raise OptionError(f"{flags} exclude each other", hint="records can be divided by one rule only")
    return asked[0] if asked else SplitRule()


def in_words(name: str, column: str, label: str) -> str:
    """Return by what the records of a dataset were divided, as the end of a sentence.

    >>> in_words("group", "user", "label")
    "by 'user': all records of a group are in one split"
    """
    return {
        "stratify": f"stratified: every class of {label!r} in the same shares",
        "group": f"by {column!r}: all records of a group are in one split",
        "given": f"as {column!r} says",
        "time": f"by {column!r}: the earliest records are train, the latest test",
    }.get(name, "at random, in exact shares")


def with_role(roles: dict[str, Role], rule: SplitRule) -> dict[str, Role]:
    """Return `roles` with that of the column that decides: it is no feature, and may be kept.

    Raises:
        ColumnNotFoundError: there is no such column.
        OptionError: it is the label, the weight or a category, or no feature is left.
    """
    if rule.column is None:
        return roles
    flag = FLAGS[rule.name]
    if rule.column not in roles:
        raise ColumnNotFoundError(f"{flag} {rule.column}: no such column", hint=nearest(rule.column, roles))
    role = roles[rule.column]
    if role in {"label", "weight", "category"}:
        raise OptionError(f"column {rule.column!r} is the {role}, and named by {flag}")
    found = roles if role == "keep" else roles | {rule.column: "split"}
    if not {"feature", "category"} & set(found.values()):
        raise OptionError("no feature column is left", hint="drop or keep fewer columns")
    return found


def with_split_column(schema: Schema, rule: SplitRule) -> Schema:
    """Return `schema` with the column marked that decides, and read as the rule needs it."""
    columns = tuple(
        _deciding(column, rule) if column.name == rule.column else column for column in schema.columns
    )
    return dataclasses.replace(schema, columns=columns)


def _deciding(column: Column, rule: SplitRule) -> Column:
    """Return the column that decides; one that is kept stays what it would be without."""
    reading = column.reading
    if rule.name == "given" or (rule.name == "group" and column.role == "split"):
        reading = "text"  # as it stands it tells groups apart exactly
    elif rule.name == "time" and column.role == "split" and reading == "text":
        reading = "datetime"
    return dataclasses.replace(column, reading=reading, splits=rule.name)
