"""Owns what a conversion says about its dataset: fingerprint, manifest, rejects file."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
from typing import TYPE_CHECKING, Any

from pipeline.convert.cautions import untrained_classes
from pipeline.keys import SPLITS
from pipeline.manifest import (
    FORMAT_VERSION,
    REJECTS_NAME,
    ColumnEntry,
    ColumnMoments,
    Generator,
    Label,
    Manifest,
    RecordCounts,
    RejectsEntry,
    Source,
    Split,
)
from pipeline.plan import record_bytes, row_group_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.convert.accounts import Accounts
    from pipeline.convert.vocabulary import Vocabulary
    from pipeline.convert.writing import WrittenShard
    from pipeline.moments import Moments
    from pipeline.plan import ConvertPlan, Identity

DISTRIBUTION = "csv-shard-pipeline"


def identity_options(plan: ConvertPlan) -> dict[str, Any]:
    """Return every option that changes the bytes of a dataset, as JSON values."""
    identity, options = plan.options.identity, plan.options
    by_role = {role: [c.name for c in plan.schema.with_role(role)] for role in ("weight", "drop", "keep")}
    # Only where there are any: datasets without them keep the fingerprint they have always had.
    read_as = {
        "categorical": [column.name for column in plan.schema.categories],
        "datetime": [column.name for column in plan.schema.used if column.reading == "datetime"],
    }
    return {
        "seed": identity.seed,
        **_split_options(identity),
        "standardize": identity.standardize,
        "label": plan.schema.label.name,
        "label_kind": plan.schema.label_kind,
        **by_role,
        **{name: columns for name, columns in read_as.items() if columns},
        "has_header": options.has_header,
        "delimiter": plan.dialect.delimiter,
        "on_bad_row": identity.on_bad_row,
        "on_missing": identity.on_missing,
        "on_nonfinite": identity.on_nonfinite,
        "shard_bytes": identity.shard_bytes,
        "compression": identity.compression,
        "range_bytes": identity.range_bytes,
    }


def _split_options(identity: Identity) -> dict[str, Any]:
    """Return by what records are divided; nothing of a rule that is not asked for, as it has always been."""
    rule = identity.rule
    shares = {} if rule.name == "given" else {"split": [float(share) for share in identity.split]}
    named = {} if rule.name == "key" else {"split_rule": rule.name}
    return shares | named | ({} if rule.column is None else {"split_column": rule.column})


def fingerprint(plan: ConvertPlan, accounts: Accounts) -> str:
    """Return the SHA-256 (hexadecimal) of the sources' digests and of every option that changes bytes."""
    named = {
        "format_version": FORMAT_VERSION,
        "digests": [account.digest() for account in accounts.files],
        "header": list(plan.schema.names) if plan.dialect.has_header else [],
        "options": identity_options(plan),
    }
    canonical = json.dumps(named, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def build_manifest(
    plan: ConvertPlan,
    accounts: Accounts,
    moments: Moments,
    classes: Sequence[float | str],
    known: Sequence[Vocabulary],
    shards: Sequence[WrittenShard],
) -> Manifest:
    """Return the manifest of a dataset whose shards are all written."""
    schema = plan.schema
    num_bytes = record_bytes(schema, accounts.kept_text_bytes // accounts.num_kept)
    splits = {}
    counts: dict[str, tuple[int, ...]] = {}
    for name in SPLITS:
        written = [shard for shard in shards if shard.spec.split == name]
        entries = [
            entry
            for form in plan.options.formats
            for s in written
            for entry in s.entries
            if entry.format == form
        ]
        num_records = sum(shard.spec.end - shard.spec.begin for shard in written)
        splits[name] = Split(records=num_records, shards=tuple(entries))
        counts[name] = tuple(map(sum, zip(*(s.class_counts for s in written), strict=True))) or (0,) * len(
            classes
        )
    names = tuple(_class_value(value) for value in classes)
    warnings = [*accounts.warnings, *(untrained_classes(schema.label.name, names, counts) if names else ())]
    return Manifest(
        format_version=FORMAT_VERSION,
        generator=Generator(name=DISTRIBUTION, version=importlib.metadata.version(DISTRIBUTION)),
        fingerprint=fingerprint(plan, accounts),
        source=Source(
            files=accounts.source_entries(),
            header=plan.header,
            delimiter=plan.dialect.delimiter,
            has_header=plan.dialect.has_header,
        ),
        options=identity_options(plan)
        | {"formats": list(plan.options.formats), "row_group_records": row_group_records(num_bytes)},
        records=RecordCounts(
            read=accounts.num_read,
            written=accounts.num_kept,
            rejected=len(accounts.rejects),
            blank=accounts.num_blank,
        ),
        label=Label(
            name=schema.label.name,
            kind=schema.label_kind,
            classes=names,
            counts=counts if classes else {},
        ),
        columns=_columns(plan, moments, known),
        splits=splits,
        warnings=tuple(warnings),
        shuffle=accounts.tracers.shuffle(pair for shard in shards for pair in shard.tracers),
    )


def _class_value(value: float | str) -> int | str:
    return value if isinstance(value, str) else int(value)


def _columns(plan: ConvertPlan, moments: Moments, known: Sequence[Vocabulary]) -> tuple[ColumnEntry, ...]:
    schema = plan.schema
    rows = {column.name: row for row, column in enumerate(schema.numbers)}
    of_category = dict(zip((column.name for column in schema.categories), known, strict=True))
    return tuple(
        ColumnEntry(
            name=column.name,
            role=column.role,
            dtype=column.dtype(schema.label_kind),
            moments=_column_moments(moments, rows[column.name]) if column.name in rows else None,
            reading=column.reading if column.reading in {"boolean", "datetime"} else None,
            vocabulary=of_category[column.name].values if column.name in of_category else None,
            counts=of_category[column.name].counts if column.name in of_category else None,
        )
        for column in schema.used
    )


def _column_moments(moments: Moments, row: int) -> ColumnMoments | None:
    if not math.isfinite(moments.std()[row]):
        return None  # squares beyond a double: `convert` refuses this where it is computed with
    low, high = float(moments.min[row]), float(moments.max[row])
    return ColumnMoments(
        count=int(moments.count[row]),
        mean=float(moments.mean[row]),
        # A constant column: M2 may be a rounding error of merging, the std is 0.
        std=float(moments.std()[row]) if low < high else 0.0,
        min=low if math.isfinite(low) else None,
        max=high if math.isfinite(high) else None,
        missing=int(moments.missing[row]),
    )


def rejects_jsonl(plan: ConvertPlan, accounts: Accounts) -> str:
    """Return the rows set aside, one JSON object per line, in the order of the source."""
    lines = [
        json.dumps(
            {
                "file": plan.files[index].path.name,
                "line": reject.line,
                "byte_offset": reject.byte_offset,
                "column": reject.column,
                "code": reject.code,
                "reason": reject.reason,
                "text": reject.text,
            },
            # ASCII alone: whatever a cell holds, the file can be shown on a terminal.
            ensure_ascii=True,
        )
        for index, reject in accounts.rejects
    ]
    return "".join(line + "\n" for line in lines)


def rejects_entry(text: str) -> RejectsEntry:
    """Return what the manifest says of the file of rejects whose contents are `text`."""
    data = text.encode()
    return RejectsEntry(
        path=REJECTS_NAME,
        records=data.count(b"\n"),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
