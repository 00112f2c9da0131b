"""Owns what must be known of the train split before shards are written: vocabularies, moments of some use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipeline.convert.vocabulary import vocabularies
from pipeline.errors import CategoriesError, NonFiniteError

if TYPE_CHECKING:
    from pipeline.convert.vocabulary import Vocabulary
    from pipeline.convert.work import Work
    from pipeline.moments import Moments
    from pipeline.plan import ConvertPlan


def vocabularies_of(
    plan: ConvertPlan, work: Work, train_end: int, batch_records: int
) -> tuple[Vocabulary, ...]:
    """Return the values that each category has in the train split, the first `train_end` records.

    Raises:
        CategoriesError: a category has too many.
    """
    if not plan.schema.categories:
        return ()
    try:
        return tuple(vocabularies(work.category_counts(0, train_end, batch_records)))
    except CategoriesError as error:
        error.path = str(plan.files[0].path)
        raise


def check_finite(plan: ConvertPlan, train: Moments) -> None:
    """Raise if a column that is computed with has values whose squares leave the range of a double.

    Raises:
        NonFiniteError: one has.
    """
    for column, std in zip(plan.schema.numbers, train.std().tolist(), strict=True):
        if column.role != "keep" and not math.isfinite(std):
            raise NonFiniteError(
                "the values are too large: their variance leaves the range of a double",
                path=str(plan.files[0].path),
                column=column.name,
                hint=f"pass --drop {column.name} to leave it out, or --keep {column.name} to carry it",
            )
