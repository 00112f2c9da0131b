"""Many texts hashed at once have the hashes that plain integers give one by one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.convert.text_hashes import LONG_BYTES, hash_bytes, hash_texts
from support.text_hash import text_hash

SEEDS = st.integers(0, 2**64 - 1)


@given(texts=st.lists(st.text(max_size=40)), seed=SEEDS, begin=st.integers(0, 3))
@example(
    texts=["", "a", "\u00e9" * 4, "x" * LONG_BYTES, "x" * (LONG_BYTES + 1), "y" * 5000], seed=42, begin=1
)
def test_every_text_has_its_own_hash(texts: list[str], seed: int, begin: int) -> None:
    """Whatever stands beside it, however long, and where the array begins."""
    array = pa.array(["?"] * begin + texts, pa.large_string()).slice(begin)
    assert hash_texts(array, seed).tolist() == [text_hash(text, seed) for text in texts]


@given(numbers=st.lists(st.integers(-(2**63), 2**63 - 1)), seed=SEEDS)
def test_padded_texts_have_the_same(numbers: list[int], seed: int) -> None:
    """Numbers written side by side are hashed as texts are."""
    texts = list(map(str, numbers))
    padded = np.array(texts, "S20") if texts else np.empty(0, "S20")
    assert hash_bytes(padded, seed).tolist() == [text_hash(text, seed) for text in texts]


def test_a_million_numbers_have_a_million_hashes() -> None:
    """Names that differ by a digit are as far apart as any: no two share a hash, and all bits are even."""
    hashes = hash_bytes(np.arange(1_000_000).astype("S7"), 42)
    assert len(np.unique(hashes)) == len(hashes)
    shares = [float((hashes >> np.uint64(bit) & np.uint64(1)).mean()) for bit in range(64)]
    assert max(abs(share - 0.5) for share in shares) < 0.003  # 6 standard deviations
