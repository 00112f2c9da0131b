"""Owns what a column is: its name, its role, how its text is read and what it becomes in a shard.

Knows no file and no value. Neighbours: `source` reads by it, `plan` holds it, `manifest` writes it down.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.errors import ColumnNotFoundError, HeaderError, OptionError, TextColumnError, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

Role = Literal["feature", "category", "label", "weight", "keep", "drop", "split"]
Reading = Literal["number", "integer", "text", "boolean", "datetime"]
LabelKind = Literal["classes", "number"]

DEFAULT_LABELS = ("label", "target")
UNUSED = "--drop {0} to leave it out, or --keep {0} to carry it through unused"

# What a cell is read as: IEEE double, 64-bit integer, or the text itself.
READING_DTYPE: dict[Reading, str] = {
    "number": "float64",
    "boolean": "float64",  # 0 or 1
    "datetime": "float64",  # seconds since 1970, UTC
    "integer": "int64",
    "text": "string",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the CSV: where it stands, what it is for, how its cells are read.

    `whole` tells of a column of numbers that its first cells were integers, or missing; `splits` names the
    split rule, if the column decides the split of its records.
    """

    name: str
    role: Role
    reading: Reading
    whole: bool = False
    splits: str = ""

    def dtype(self, label_kind: LabelKind) -> str:
        """Return the column's dtype in a shard; a class label is an index into the classes.

        A category is 1 + an index into the vocabulary; 0 stands for all that is not in it.
        """
        if self.role in {"feature", "weight"}:
            return "float32"
        if self.role == "category":
            return "int64"
        if self.role == "label":
            return "int64" if label_kind == "classes" else "float64"
        return READING_DTYPE[self.reading]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """All columns of a source in the order of its header, dropped ones included."""

    columns: tuple[Column, ...]
    label_kind: LabelKind
    order: tuple[str, ...] = ()

    @property
    def as_written(self) -> tuple[Column, ...]:
        """The columns in the order in which one source file has them: `order`, if that is given."""
        if not self.order:
            return self.columns
        by_name = {column.name: column for column in self.columns}
        return tuple(by_name[name] for name in self.order)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns, in the order of the header."""
        return tuple(column.name for column in self.columns)

    @property
    def used(self) -> tuple[Column, ...]:
        """The columns that reach the shards: not those dropped, nor one that is read for the split alone."""
        return tuple(column for column in self.columns if column.role not in {"drop", "split"})

    @property
    def split(self) -> Column | None:
        """The column that decides the split of its records, if one does; it may be kept, too."""
        return next((column for column in self.columns if column.splits), None)

    @property
    def features(self) -> tuple[Column, ...]:
        """The features that are numbers, in the order of the header: the columns of a feature matrix."""
        return self.with_role("feature")

    @property
    def categories(self) -> tuple[Column, ...]:
        """The features that are categories, in the order of the header; their cells are read as text."""
        return self.with_role("category")

    @property
    def label(self) -> Column:
        """The label column."""
        return self.with_role("label")[0]

    @property
    def weight(self) -> Column | None:
        """The weight column, if there is one."""
        return next(iter(self.with_role("weight")), None)

    @property
    def numbers(self) -> tuple[Column, ...]:
        """The columns read as numbers, the features first: the rows of a matrix of numbers.

        Features first, so that a feature matrix is a view of it and never a copy.
        """
        others = (c for c in self.used if c.reading not in {"integer", "text"} and c.role != "feature")
        return (*self.features, *others)

    @property
    def integers(self) -> tuple[Column, ...]:
        """The columns read as 64-bit integers, in the order of the header."""
        return tuple(column for column in self.used if column.reading == "integer")

    @property
    def texts(self) -> tuple[Column, ...]:
        """The columns read as text, in the order of the header."""
        return tuple(column for column in self.used if column.reading == "text")

    @property
    def read(self) -> tuple[Column, ...]:
        """The columns whose cells are looked at: all but the dropped ones."""
        return tuple(column for column in self.columns if column.role != "drop")

    @property
    def read_for_split(self) -> Column | None:
        """The column that is read for its split alone."""
        return next(iter(self.with_role("split")), None)

    def with_role(self, role: Role) -> tuple[Column, ...]:
        """Return the columns of `role`, in the order of the header."""
        return tuple(column for column in self.columns if column.role == role)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleOptions:
    """Which columns the user names for which role; everything else is a feature."""

    label: str | None = None
    weight: str | None = None
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    datetime: tuple[str, ...] = ()


def clean_names(header: Sequence[str]) -> tuple[str, ...]:
    """Return the column names of a header as written: blanks and a leading '#' are trimmed.

    >>> clean_names(["# label", " f0", "mass "])
    ('label', 'f0', 'mass')

    Raises:
        HeaderError: names are empty or occur twice; all are listed with their positions.
    """
    names = tuple(
        name.strip().removeprefix("#").strip() if index == 0 else name.strip()
        for index, name in enumerate(header)
    )
    if empty := [str(index + 1) for index, name in enumerate(names) if not name]:
        raise HeaderError(
            f"column {', '.join(empty)} of the header has no name",
            hint="name every column in the first line",
        )
    places: dict[str, list[str]] = {}
    for index, name in enumerate(names):
        places.setdefault(name, []).append(str(index + 1))
    if twice := {name: at for name, at in places.items() if len(at) > 1}:
        listed = "; ".join(f"{name!r} in columns {', '.join(at)}" for name, at in twice.items())
        raise HeaderError(f"duplicate column names: {listed}", hint="give every column a name of its own")
    return names


def assign_roles(names: Sequence[str], options: RoleOptions) -> dict[str, Role]:
    """Return the role of every column, in the order of `names`.

    Raises:
        ColumnNotFoundError: an option names a column that is not there, or no label can be found.
        OptionError: one column is named for two roles.
    """
    label = options.label or next((name for name in DEFAULT_LABELS if name in names), None)
    if label is None:
        raise ColumnNotFoundError(
            "no label: no column is called 'label' or 'target'; " + _listing(names),
            hint="pass --label NAME" + _nearest_label(names),
        )
    wanted: list[tuple[str, Role, str]] = [(label, "label", "--label")]
    wanted += [(options.weight, "weight", "--weight")] if options.weight else []
    wanted += [(name, "drop", "--drop") for name in options.drop]
    wanted += [(name, "keep", "--keep") for name in options.keep]
    wanted += [(name, "category", "--categorical") for name in options.categorical]
    wanted += [(name, "feature", "--datetime") for name in options.datetime]
    roles: dict[str, Role] = dict.fromkeys(names, "feature")
    claimed: dict[str, str] = {}
    for name, role, flag in wanted:
        if name not in roles:
            raise ColumnNotFoundError(
                f"{flag} {name}: no such column; {_listing(names)}", hint=nearest(name, names)
            )
        if claimed.setdefault(name, flag) != flag:
            raise OptionError(f"column {name!r} is named by {claimed[name]} and by {flag}")
        roles[name] = role
    if not {"feature", "category"} & set(roles.values()):
        raise OptionError("no feature column is left", hint="drop or keep fewer columns")
    return roles


def _nearest_label(names: Sequence[str]) -> str:
    """Return what the label may be called, as the end of a hint."""
    for wanted in DEFAULT_LABELS:
        if found := nearest(wanted, names, likeness=0.7):  # 'labels', not 'age'
            return f"; {found}"
    if any(map(_looks_like_data, names)):
        return ", or --no-header if the first line is data"
    return "; pipeline inspect shows which columns may be one"


def _looks_like_data(name: str) -> bool:
    return name[0] in "+-.0123456789"


def build_schema(
    roles: Mapping[str, Role],
    readings: Mapping[str, Reading],
    *,
    label_kind: LabelKind,
    whole: Collection[str] = (),
) -> Schema:
    """Return the schema of columns with these roles and readings, in the order of `roles`.

    `whole` are the columns that hold integers alone, as far as is known.

    Raises:
        TextColumnError: a feature or the weight holds text.
    """
    for name, role in roles.items():
        if role in {"feature", "weight"} and readings[name] == "text":
            raise TextColumnError(
                f"a {role} column must hold numbers, this one holds text",
                column=name,
                hint=_text_hint(name, role),
            )
    columns = (
        Column(name=name, role=role, reading=_reading(role, readings[name]), whole=name in whole)
        for name, role in roles.items()
    )
    return Schema(columns=tuple(columns), label_kind=label_kind)


def _text_hint(name: str, role: Role) -> str:
    word = shlex.quote(name)
    if role == "weight":
        return f"name another column for --weight, or {UNUSED.format(word)}"
    return f"pass --categorical {word} to train on its values, or {UNUSED.format(word)}"


def _reading(role: Role, found: Reading) -> Reading:
    if role == "category":
        return "text"
    if found == "boolean" and role in {"label", "keep"}:
        return "text"  # classes by their names; and what is carried along stays as it is
    # An integer reading keeps identifiers beyond 2**53 exact; everything that is computed with is a double.
    return "number" if found == "integer" and role != "keep" else found


def _listing(names: Sequence[str], limit: int = 12) -> str:
    shown = ", ".join(names[:limit])
    return f"the columns are {shown}" + (f", … ({len(names)} in all)" if len(names) > limit else "")
