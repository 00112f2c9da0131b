"""Owns the warnings of a dataset: what is no fault, and yet a person should know before training on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.counted import counted
from pipeline.keys import SPLITS
from pipeline.schema import DEFAULT_LABELS
from pipeline.splitting.rule import FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.convert.accounts import Accounts
    from pipeline.moments import Moments
    from pipeline.plan import ConvertPlan, Identity
    from pipeline.schema import Schema


def cautions(
    plan: ConvertPlan, accounts: Accounts, train: Moments, classes: Sequence[float | str]
) -> Iterator[str]:
    """Yield what is to be known of the columns; `train` are the moments of the train split."""
    schema = plan.schema
    for row, column in enumerate(schema.numbers):
        if train.constant()[row] and column.role == "feature":
            yield f"column {column.name!r} is constant in the train split: its scale is 1"
    for name in sorted(accounts.inexact):
        yield (
            f"column {name!r} holds integers of 2**53 or more, where neighbours are one double; "
            f"a column kept by --keep, without missing values, is exact"
        )
    yield from _of_label(schema, accounts, train, classes)
    if schema.label.name not in DEFAULT_LABELS:
        for column in schema.features:
            if column.name in DEFAULT_LABELS:
                yield (
                    f"column {column.name!r} is a feature, since the label is {schema.label.name!r}; "
                    f"--drop {column.name} leaves it out"
                )


def empty_splits(identity: Identity, sizes: Sequence[int]) -> Iterator[str]:
    """Yield a warning for every split that has no record, though the split rule could have given it some."""
    rule = identity.rule
    for name, share, size in zip(SPLITS, identity.split, sizes, strict=True):
        if rule.name == "given" and not size:
            yield f"the {name} split is empty: column {rule.column!r} names it in no record"
        elif share and not size:
            left = f"{FLAGS[rule.name]} leaves no record for a share of {float(share):g}"
            yield f"the {name} split is empty: {left}"


def _of_label(
    schema: Schema, accounts: Accounts, train: Moments, classes: Sequence[float | str]
) -> Iterator[str]:
    label = schema.label
    if schema.label_kind == "number":
        row = schema.numbers.index(label)
        if train.constant()[row]:
            yield f"the label {label.name!r} is constant in the train split: {float(train.min[row])!r}"
    elif len(classes) == 1:
        only = classes[0] if isinstance(classes[0], str) else int(classes[0])
        times = counted(accounts.num_kept, "record")
        yield f"the label {label.name!r} has one class only: {only!r}, in all {times}"


def untrained_classes(
    name: str, classes: Sequence[int | str], counts: Mapping[str, Sequence[int]]
) -> Iterator[str]:
    """Yield a warning if classes of the label `name` have no record in the train split."""
    absent = [repr(value) for value, count in zip(classes, counts["train"], strict=True) if not count]
    if absent:
        shown = ", ".join(absent[:10]) + (f", … ({len(absent)} in all)" if len(absent) > 10 else "")  # noqa: PLR2004
        yield f"classes of the label {name!r} without a record in the train split: {shown}"
