"""Owns how records come to their splits once all of them are read: sizes, and the moments of the train split.

By the rank of their keys, or by another split rule: then a division is decided, and the work goes on in its
order. Neighbours: `splitting` decides, `work` looks at records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import keys, moments
from pipeline.convert.cautions import empty_splits
from pipeline.errors import SplitError
from pipeline.splitting.deciding import decide

if TYPE_CHECKING:
    from pipeline.convert.accounts import Accounts
    from pipeline.convert.work import Work
    from pipeline.moments import Moments
    from pipeline.plan import ConvertPlan
    from pipeline.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Divided:
    """How many records each split has, and the moments of the numeric columns over train."""

    sizes: tuple[int, ...]
    train: Moments


def divide(
    plan: ConvertPlan, accounts: Accounts, work: Work, batch_records: int, progress: Progress
) -> Divided:
    """Divide all records into splits; from here on, `work` has them in the order of the shards.

    Raises:
        SplitError: no record is left for the train split.
    """
    identity = plan.options.identity
    if identity.rule.name == "key":
        sizes = keys.split_sizes(work.index().num_records, identity.split)
        return Divided(sizes=sizes, train=_train_moments(plan, accounts, work, sizes[0], batch_records))
    progress.start("dividing", total=None, unit="")
    try:
        division = decide(identity.rule, identity.split, accounts.tally, accounts.num_kept, work.survey)
    except SplitError as error:
        error.path = str(plan.files[0].path)
        raise
    sizes = work.divide(division)
    accounts.warnings += empty_splits(identity, sizes)
    train = work.moments(0, sizes[0], batch_records)
    progress.finish()
    return Divided(sizes=sizes, train=train)


def _train_moments(
    plan: ConvertPlan, accounts: Accounts, work: Work, train_end: int, batch_records: int
) -> Moments:
    """Return the moments of exactly the train split.

    While streaming, only records whose key lies below `certain` were counted. The rest of the split is
    counted now; if the split ends even before that (few records, by chance), all of it is.
    Which of the two happens depends on the keys alone, so the bytes do not depend on it.
    """
    certain = work.index().rank_of(keys.certain_train_key(plan.options.identity.split[0]))
    if train_end < certain:
        return work.moments(0, train_end, batch_records)
    return moments.merge(accounts.moments, work.moments(certain, train_end, batch_records))
