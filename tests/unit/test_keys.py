"""Record keys are pinned to literal values: they decide the bytes of every dataset ever made."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pipeline.errors import OptionError
from pipeline.keys import (
    KEY_SPACE,
    certain_train_key,
    key_order,
    parse_split,
    record_keys,
    split_bounds,
    split_sizes,
)
from support.oracle import rank_correlation, uniform_distance

GOLDEN = {
    (42, 0, 0): [15129985323320379406, 3490965594592278910, 16005516994917231875],
    (42, 0, 1): [8185685891515899014, 15059776042128308896, 9389875783783897555],
    (42, 1, 0): [14393660858819164753, 15887835662697793196, 18357968278639561914],
    (0, 0, 0): [213000021201967259, 4455796210202625458, 2055444239878205049],
    (2**64 - 1, 3, 7): [7949240068246821264, 7560839906272239379, 16672110154264759349],
}


def keys_of(seed: int, file_index: int, range_index: int, num_records: int) -> np.ndarray:
    """Return the keys of a range."""
    return record_keys(seed=seed, file_index=file_index, range_index=range_index, num_records=num_records)


@pytest.mark.parametrize("place", GOLDEN)
def test_the_key_stream_never_changes(place: tuple[int, int, int]) -> None:
    """Seed, file and range give these very keys, with any version of NumPy on any machine."""
    assert keys_of(*place, 3).tolist() == GOLDEN[place]


def philox(key: tuple[int, int], counter: int) -> list[int]:
    """Return the four 64-bit outputs of Philox4x64-10 after Salmon et al. (2011), section 3.2."""
    mask = 2**64 - 1
    words = [counter & mask, counter >> 64 & mask, 0, 0]
    first, second = key
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * words[0], 2**64)
        high1, low1 = divmod(0xCA5A826395121157 * words[2], 2**64)
        words = [high1 ^ words[1] ^ first, low1, high0 ^ words[3] ^ second, low0]
        first, second = (first + 0x9E3779B97F4A7C15) & mask, (second + 0xBB67AE8584CAA73B) & mask
    return words


@pytest.mark.parametrize("place", [(42, 0, 0), (2**64 - 1, 2**32 - 1, 2**32 - 1), (2**53 + 1, 0, 5)])
def test_keys_are_philox_of_the_paper(place: tuple[int, int, int]) -> None:
    """The keys are the stream of the published algorithm, keyed by (seed, file and range), from counter 1."""
    seed, file_index, range_index = place
    key = (seed, (file_index << 32) + range_index)
    expected = [word for counter in (1, 2, 3) for word in philox(key, counter)]
    assert keys_of(seed, file_index, range_index, 12).tolist() == expected


def test_a_key_does_not_depend_on_how_many_there_are() -> None:
    """Record i has the same key in a short range and in a long one."""
    long = keys_of(7, 0, 3, 1000)
    assert keys_of(7, 0, 3, 10).tolist() == long[:10].tolist()
    assert keys_of(7, 0, 3, 0).tolist() == []
    assert long.dtype == np.uint64


def test_seeds_files_and_ranges_have_streams_of_their_own() -> None:
    """Nearby seeds, files and ranges share no key; seeds beyond 2**53 are told apart."""
    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]
    places += [(2**53, 0, 0), (2**53 + 1, 0, 0), (2**63, 0, 0), (2**63 + 1, 0, 0), (2**64 - 1, 0, 0)]
    keys = np.concatenate([keys_of(*place, 100) for place in places])
    assert len(np.unique(keys)) == len(keys)


def test_keys_are_uniform_and_independent_of_the_place() -> None:
    """Keys are spread evenly over 64 bits, and their order has nothing to do with the order of records."""
    keys = keys_of(42, 0, 0, 5000)
    assert uniform_distance((keys >> np.uint64(32)).tolist(), 2**32) < 2.5
    assert abs(rank_correlation(np.argsort(keys).tolist())) < 5


def test_equal_keys_stay_in_their_order() -> None:
    """Sorting is stable where keys are equal, so that the result does not depend on the sort."""
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 50, 2000).astype(np.uint64)
    expected = sorted(range(2000), key=lambda index: (keys[index], index))
    assert key_order(keys).tolist() == expected
    assert key_order(np.array([3, 1, 2], np.uint64)).tolist() == [1, 2, 0]
    assert key_order(np.array([], np.uint64)).tolist() == []


def test_sizes_of_known_splits() -> None:
    """Eight tenths of eleven are nine: the largest remainder is served first, the earlier split on a tie."""
    tenths = parse_split("0.8,0.1,0.1")
    assert split_sizes(11, tenths) == (9, 1, 1)
    assert split_sizes(10, tenths) == (8, 1, 1)
    assert split_sizes(1, tenths) == (1, 0, 0)
    assert split_sizes(0, tenths) == (0, 0, 0)
    assert split_sizes(10_500_000, tenths) == (8_400_000, 1_050_000, 1_050_000)
    assert split_sizes(2, [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)]) == (1, 1, 0)
    assert split_bounds(11, tenths) == ((0, 9), (9, 10), (10, 11))


def test_sizes_are_exact_where_floats_are_not() -> None:
    """Shares are fractions: 10**17 records are divided to the record, which doubles cannot."""
    assert split_sizes(10**17 + 3, parse_split("0.7,0.2,0.1")) == (
        70_000_000_000_000_002,
        20_000_000_000_000_001,
        10_000_000_000_000_000,
    )


def test_the_certain_key_lies_below_the_share() -> None:
    """Records are counted as train while streaming only where their key is well below the share."""
    assert certain_train_key(Fraction(1)) == KEY_SPACE
    assert certain_train_key(Fraction(8, 10)) == int((Fraction(8, 10) - Fraction(1, 64)) * KEY_SPACE)
    assert certain_train_key(Fraction(1, 100)) == 0


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("0.8,0.1,0.1", (Fraction(4, 5), Fraction(1, 10), Fraction(1, 10))),
        (" 0.7, 0.2 ,0.1", (Fraction(7, 10), Fraction(1, 5), Fraction(1, 10))),
        ("1,0,0", (Fraction(1), Fraction(0), Fraction(0))),
        ("1/3,1/3,1/3", (Fraction(1, 3),) * 3),
    ],
)
def test_splits_are_read_exactly(text: str, shares: tuple[Fraction, ...]) -> None:
    """Decimal shares are fractions, not the doubles nearest to them."""
    assert parse_split(text) == shares


@pytest.mark.parametrize(
    "text", ["", "0.8", "0.8,0.2", "0.8,0.1,0.2", "0,0.5,0.5", "1.1,-0.1,0", "a,b,c", "1/0,0,0", "nan,0,1"]
)
def test_splits_that_cannot_be_are_refused(text: str) -> None:
    """Not three, not sum 1, negative, no train share, no numbers: each is told with a hint."""
    with pytest.raises(OptionError, match="--split") as caught:
        parse_split(text)
    assert caught.value.hint
