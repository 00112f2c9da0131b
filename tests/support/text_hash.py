"""The hash of a text, by plain integers; and the order that it puts groups in."""

from __future__ import annotations

import xxhash

LONG_BYTES = 256
WORDS = (1 << 64) - 1


def mixed(value: int) -> int:
    """Return what the finalizer of SplitMix64, variant 13, makes of 64 bits."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & WORDS
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & WORDS
    return value ^ (value >> 31)


def text_hash(text: str, seed: int) -> int:
    """Return the hash of one text."""
    data, found = text.encode(), mixed(seed)
    if len(data) > LONG_BYTES:
        found ^= xxhash.xxh3_64_intdigest(data)
    else:
        for begin in range(0, len(data), 8):
            found = mixed(found ^ int.from_bytes(data[begin : begin + 8], "little"))
    return mixed(found ^ len(data))


def group_value(text: str, seed: int) -> int:
    """Return the split value of the group with this name."""
    return text_hash(text, seed) >> 1
