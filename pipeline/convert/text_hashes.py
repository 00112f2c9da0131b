"""Owns the hash of many texts at once: 64 bits each, the same on every machine, from a seed.

    h = mix(seed);  h = mix(h ^ w)  for each 8 bytes w of the text, the last ones padded with zeros;
    h = mix(h ^ length)

`mix` is the finalizer of SplitMix64. A call for each text would hold the interpreter's lock for longer than
parsing them takes; so words are mixed column by column. Of a text beyond `LONG_BYTES`, its XXH3-64 is the one
word. Neighbour: `split_values` makes groups of it.

Source: Steele, Lea & Flood (2014), "Fast splittable pseudorandom number generators", OOPSLA, figure 16, with
the constants of Stafford's variant 13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xxhash

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

WORD_BYTES = 8
LONG_BYTES = 256  # beyond it, one text would take as many steps as all the others
MASKS = np.array([(1 << 8 * size) - 1 for size in range(WORD_BYTES + 1)], np.uint64)


def hash_texts(texts: pa.LargeStringArray, seed: int) -> Words:
    """Return the hash of each text in UTF-8, uint64 (num_texts,)."""
    _, offsets_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64, len(texts) + 1, 8 * texts.offset)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.empty(0, np.uint8)
    return _hashed(data, offsets[:-1], np.diff(offsets), seed)


def hash_bytes(texts: NDArray[np.bytes_], seed: int) -> Words:
    """Return the hash of each of `texts`, which are padded with zeros to one length."""
    width = texts.dtype.itemsize
    data = np.frombuffer(texts.tobytes(), np.uint8)
    return _hashed(data, np.arange(len(texts)) * width, np.strings.str_len(texts), seed)


def _hashed(data: NDArray[np.uint8], begins: NDArray[np.int64], sizes: NDArray[np.int64], seed: int) -> Words:
    hashes = np.full(len(begins), _mixed(np.array([seed], np.uint64))[0])
    padded = np.concatenate([data, np.zeros(WORD_BYTES, np.uint8)])
    # A word begins at every byte: eight bytes at a step of one.
    words: Words = np.ndarray(len(data) + 1, "<u8", padded, strides=(1,))
    for row in np.flatnonzero(sizes > LONG_BYTES).tolist():
        text = data[begins[row] : begins[row] + sizes[row]]
        hashes[row] ^= np.uint64(xxhash.xxh3_64_intdigest(text.tobytes()))
    rows, first = np.flatnonzero(sizes <= LONG_BYTES), 0
    while len(rows := rows[sizes[rows] > first]):
        masks = MASKS[np.minimum(sizes[rows] - first, WORD_BYTES)]
        hashes[rows] = _mixed(hashes[rows] ^ (words[begins[rows] + first] & masks))
        first += WORD_BYTES
    lengths: Words = sizes.astype(np.uint64)
    return _mixed(hashes ^ lengths)


def _mixed(values: Words) -> Words:
    """Return `values` with every bit depending on all of them; a permutation of the numbers of 64 bits."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
