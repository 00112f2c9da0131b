"""Owns the manifest: the JSON file that makes a folder of shards a dataset, and its validation.

Holds values only; `storage` writes it last, readers start here. Format: docs/format.md.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import ManifestError
from pipeline.keys import SPLITS

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 256 << 20  # 20,000 columns and 100,000 shards need 30 MB; more is no manifest of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """The program that wrote the dataset."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """One source file: its size as stored, its records, the XXH3-128 of its text."""

    path: str
    bytes: int
    records: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the records came from; `header` holds the names as written."""

    files: tuple[SourceEntry, ...]
    header: tuple[str, ...]
    delimiter: str
    has_header: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCounts:
    """The accounting: read = written + rejected; blank lines are no records."""

    read: int
    written: int
    rejected: int
    blank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The label column; `classes[i]` is the value written as i; `counts[split][i]` its records."""

    name: str
    kind: str
    classes: tuple[int | str, ...] = ()
    counts: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMoments:
    """Statistics of the train split in raw units; `std` is that of the population."""

    count: int
    mean: float
    std: float
    min: float | None
    max: float | None
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnEntry:
    """One column of the shards; `moments` for numeric columns that are features."""

    name: str
    role: str
    dtype: str
    moments: ColumnMoments | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """One shard file; `path` is relative to the manifest."""

    path: str
    format: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One split: its records and shards, per format in the order of the records."""

    records: int
    shards: tuple[ShardEntry, ...]

    def of_format(self, name: str) -> tuple[ShardEntry, ...]:
        """Return the shards of format `name`, in the order of the records."""
        return tuple(shard for shard in self.shards if shard.format == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything a reader must know about a dataset."""

    format_version: int
    generator: Generator
    fingerprint: str
    source: Source
    options: dict[str, Any]
    records: RecordCounts
    label: Label
    columns: tuple[ColumnEntry, ...]
    splits: dict[str, Split]
    warnings: tuple[str, ...] = ()

    @property
    def standardized(self) -> bool:
        """Whether the features in the shards are standardized."""
        return bool(self.options.get("standardize"))

    @property
    def features(self) -> tuple[ColumnEntry, ...]:
        """The feature columns, in the order of a feature vector."""
        return tuple(column for column in self.columns if column.role == "feature")

    @property
    def weight(self) -> ColumnEntry | None:
        """The weight column, if there is one."""
        return next((column for column in self.columns if column.role == "weight"), None)

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats in which every split is stored."""
        return tuple(dict.fromkeys(s.format for split in self.splits.values() for s in split.shards))


def to_json(manifest: Manifest) -> str:
    """Return the manifest as JSON: the same manifest gives the same text, floats round-trip."""
    return json.dumps(dataclasses.asdict(manifest), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str, *, path: str = "") -> Manifest:
    """Return the manifest written as `text`; keys it does not know are ignored.

    Raises:
        ManifestError: not JSON, an unknown version, a missing key, a wrong type, counts that contradict
            each other, or a shard path that leaves the folder.
    """
    try:
        tree = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"not a manifest: {error}", path=path, hint=_REMAKE) from None
    version = tree.get("format_version") if isinstance(tree, dict) else None
    if version != FORMAT_VERSION:
        raise ManifestError(
            f"format_version {version!r} is unknown, expected {FORMAT_VERSION}",
            path=path,
            hint="read it with the version of the program that wrote it",
        )
    try:
        manifest: Manifest = _decode(Manifest, tree, "manifest")
        _check(manifest)
    except (_MalformedError, OverflowError) as error:
        raise ManifestError(str(error), path=path, hint=_REMAKE) from None
    return manifest


def load(shards: Path) -> Manifest:
    """Return the manifest of the dataset in the folder `shards`.

    Raises:
        ManifestError: there is none, or it cannot be used.
    """
    path = shards / MANIFEST_NAME
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise ManifestError(f"larger than {MAX_MANIFEST_BYTES} bytes", path=str(path), hint=_REMAKE)
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ManifestError("no manifest: this is no dataset", path=str(path), hint=_REMAKE) from None
    except UnicodeDecodeError:
        raise ManifestError("not a manifest: not UTF-8", path=str(path), hint=_REMAKE) from None
    return from_json(text, path=str(path))


_REMAKE = "make the dataset again: pipeline convert SOURCE SHARDS --overwrite"


class _MalformedError(ValueError):
    """Something in the tree is not what the format says; the text names the key."""


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no finite number")
    return value


def _decode(kind: Any, value: Any, at: str) -> Any:
    """Return `value`, as JSON gives it, as an instance of the annotated type `kind`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, _expect(value, dict, at), at)
    if origin is tuple:
        items = _expect(value, list, at)
        return tuple(_decode(arguments[0], item, f"{at}[{index}]") for index, item in enumerate(items))
    if origin is dict:
        entries = _expect(value, dict, at)
        return {key: _decode(arguments[1], entry, f"{at}.{key}") for key, entry in entries.items()}
    if origin in {types.UnionType, typing.Union}:
        return _decode_union(arguments, value, at)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    return _expect(value, kind, at)


def _decode_dataclass(kind: Any, tree: dict[str, Any], at: str) -> Any:
    types_by_name = typing.get_type_hints(kind)
    values = {}
    for item in dataclasses.fields(kind):
        if item.name in tree:
            values[item.name] = _decode(types_by_name[item.name], tree[item.name], f"{at}.{item.name}")
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise _MalformedError(f"{at}: the key {item.name!r} is missing")
    return kind(**values)


def _decode_union(arguments: tuple[Any, ...], value: Any, at: str) -> Any:
    if value is None and types.NoneType in arguments:
        return None
    for argument in (kind for kind in arguments if kind is not types.NoneType):
        try:
            return _decode(argument, value, at)
        except _MalformedError as error:
            failure = error
    raise failure


def _expect(value: Any, kind: type, at: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _MalformedError(f"{at}: expected {kind.__name__}, found {type(value).__name__}")
    return value


def _check(manifest: Manifest) -> None:
    """Raise for what has the right types and yet cannot be."""
    counts = manifest.records
    if counts.read != counts.written + counts.rejected:
        raise _MalformedError("manifest.records: read is not written + rejected")
    if tuple(manifest.splits) != SPLITS:
        raise _MalformedError(f"manifest.splits: expected {', '.join(SPLITS)}")
    if sum(split.records for split in manifest.splits.values()) != counts.written:
        raise _MalformedError("manifest.splits: their records do not add up to those written")
    paths = [shard.path for split in manifest.splits.values() for shard in split.shards]
    if len(set(paths)) != len(paths):
        raise _MalformedError("manifest.splits: a shard is named twice")
    for name, split in manifest.splits.items():
        _check_split(split, manifest.formats, f"manifest.splits.{name}")
    if not manifest.features:
        raise _MalformedError("manifest.columns: no feature")
    for column in manifest.features:
        if column.moments is None or not math.isfinite(column.moments.mean + column.moments.std):
            raise _MalformedError(f"manifest.columns: {column.name!r} has no usable moments")


def _check_split(split: Split, formats: tuple[str, ...], at: str) -> None:
    for name in formats:
        if sum(shard.records for shard in split.of_format(name)) != split.records:
            raise _MalformedError(f"{at}: the {name} shards do not add up")
    for shard in split.shards:
        _check_shard(shard, at)


def _check_shard(shard: ShardEntry, at: str) -> None:
    # One plain name: a manifest from elsewhere must not make us open files outside its folder.
    plain = shard.path == PurePosixPath(shard.path).name and not set(shard.path) & {"\0", "\\"}
    if not plain or shard.path in {"", ".."}:
        raise _MalformedError(f"{at}: {shard.path!r} is not a plain file name")
    if min(shard.records, shard.bytes) < 0:
        raise _MalformedError(f"{at}: {shard.path}: negative counts")
