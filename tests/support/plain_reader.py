"""Reads a dataset as docs/format.md says, with the standard library alone; of Parquet it reads nothing.

Written from the page and not from the package, from which it imports nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import struct
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Record = dict[str, list[Any]]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a dataset, checked."""
    data = (folder / "manifest.json").read_bytes()
    manifest: dict[str, Any] = json.loads(data, object_pairs_hook=_once, parse_constant=_no_number)
    if manifest["format_version"] != 1:
        raise ValueError("another version")
    if digest := manifest.get("digest"):
        unsigned = data.replace(digest.encode(), b"0" * 64)
        if hashlib.sha256(unsigned).hexdigest() != digest:
            raise ValueError("digest")
    for split, entry in manifest["splits"].items():
        count = Counter(shard["format"] for shard in entry["shards"])
        index: Counter[str] = Counter()
        for shard in entry["shards"]:
            form = shard["format"]
            if shard["path"] != f"{split}-{index[form]:05d}-of-{count[form]:05d}.{form}":
                raise ValueError(shard["path"])
            index[form] += 1
    return manifest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _no_number(word: str) -> Any:
    raise ValueError(word)


def read_split(folder: Path, split: str) -> Iterator[dict[str, Any]]:
    """Yield the records of a split in their order, in raw units, from its TFRecord shards."""
    manifest = read_manifest(folder)
    for shard in manifest["splits"][split]["shards"]:
        if shard["format"] == "tfrecord":
            data = (folder / shard["path"]).read_bytes()
            if (len(data), hashlib.sha256(data).hexdigest()) != (shard["bytes"], shard["sha256"]):
                raise ValueError(shard["path"])
            yield from (raw(example(payload), manifest) for payload in payloads(data, manifest))


def payloads(data: bytes, manifest: dict[str, Any]) -> Iterator[bytes]:
    """Yield the payload of each record of a TFRecord file, its checksums verified."""
    if manifest["options"]["compression"] == "gzip":
        data = gzip.decompress(data)
    while data:
        length, length_crc = struct.unpack("<QI", data[:12])
        payload, [payload_crc] = data[12 : 12 + length], struct.unpack("<I", data[12 + length : 16 + length])
        if (masked_crc(data[:8]), masked_crc(payload)) != (length_crc, payload_crc):
            raise ValueError("checksum")
        yield payload
        data = data[16 + length :]


def masked_crc(data: bytes) -> int:
    """Return the masked CRC-32C."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % (1 << 32)


def example(payload: bytes) -> Record:
    """Return the features of a serialized `tf.train.Example`."""
    record = {}
    [(_, features)] = fields(payload)
    for _, entry in fields(features):
        [(_, name), (_, feature)] = sorted(fields(entry))
        [(kind, values)] = fields(feature)
        [packed] = [value for _, value in fields(values)]
        if kind == 1:
            record[name.decode()] = [packed]
        elif kind == 2:
            record[name.decode()] = list(struct.unpack(f"<{len(packed) // 4}f", packed))
        else:
            record[name.decode()] = list(integers(packed))
    return record


def fields(message: bytes) -> list[tuple[int, bytes]]:
    """Return number and contents of the fields of a message; there are none but those with a length."""
    found, at = [], 0
    while at < len(message):
        tag, at = varint(message, at)
        length, at = varint(message, at)
        found.append((tag >> 3, message[at : at + length]))
        at += length
    return found


def integers(packed: bytes) -> Iterator[int]:
    """Yield the integers of a packed list, of 64 bits in two's complement."""
    at = 0
    while at < len(packed):
        value, at = varint(packed, at)
        yield value - (1 << 64) if value >> 63 else value


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer that begins at `at`, seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def raw(record: Record, manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a record as it stood in the source: numbers, classes, words."""
    features = iter(record["features"])
    row: dict[str, Any] = {}
    for column in manifest["columns"]:
        name, role, moments = column["name"], column["role"], column["moments"]
        if role == "feature":
            scale = moments["std"] if moments["min"] != moments["max"] else 1
            stored = next(features)
            row[name] = stored * scale + moments["mean"] if manifest["options"]["standardize"] else stored
        elif role == "category":
            [place] = record[name]
            row[name] = column["vocabulary"][place - 1] if place else None
        elif role == "label":
            [label] = record["label"]
            row[name] = (
                manifest["label"]["classes"][label] if manifest["label"]["kind"] == "classes" else label
            )
        elif role == "weight":
            [row[name]] = record["weight"]
        else:
            [row[name]] = record[name]
    return row


def keys_in_code(page: str) -> set[str]:
    """Return all words that stand in code type in a page."""
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", page))))
