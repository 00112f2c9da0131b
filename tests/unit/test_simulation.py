"""The simulated records have HEPMASS's shapes, and are the same bytes wherever they are drawn."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from statistics import NormalDist

import numpy as np
import pytest

from pipeline.simulation.draws import Draws, quantiles_of
from pipeline.simulation.elementary import angle, logarithm, sine_cosine
from pipeline.simulation.records import BLOCK_RECORDS, COLUMN_NAMES, MASSES, simulate_block

B_TAGS = [f"f{index}" for index in (9, 13, 17, 21)]
FIRST_BLOCK_SHA256 = "5af0ae9207d0d96919920bb78f2603b02d01dd19631d5c3764b19023e29297ae"


@pytest.fixture(scope="module")
def table() -> dict[str, np.ndarray]:
    """Three blocks, 24,576 records, as float64 columns by name."""
    blocks = np.concatenate([simulate_block(seed=1, block=block) for block in range(3)])
    return dict(zip(COLUMN_NAMES, blocks.T.astype(np.float64), strict=True))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of two columns."""
    return float(np.corrcoef(first, second)[0, 1])


def auc(scores: np.ndarray, is_signal: np.ndarray) -> float:
    """Return the area under the ROC curve of `scores`, from their ranks."""
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores)] = np.arange(1, len(scores) + 1)
    num_signal = int(is_signal.sum())
    num_background = len(scores) - num_signal
    return float((ranks[is_signal].sum() - num_signal * (num_signal + 1) / 2) / (num_signal * num_background))


def test_a_block_is_a_full_float32_table() -> None:
    """A block has 8,192 records of 29 finite float32."""
    block = simulate_block(seed=3, block=0)
    assert block.shape == (BLOCK_RECORDS, 29)
    assert block.dtype == np.float32
    assert np.isfinite(block).all()


def test_half_of_the_records_are_signal(table: dict[str, np.ndarray]) -> None:
    """Labels are 0 and 1, half each within five standard deviations."""
    assert set(table["label"]) == {0.0, 1.0}
    assert abs(table["label"].mean() - 0.5) < 5 * 0.5 / math.sqrt(len(table["label"]))


def test_masses_are_stored_as_in_hepmass(table: dict[str, np.ndarray]) -> None:
    """Mass 500 is the float32 just below 500; each mass is as frequent as the others, for either label."""
    assert sorted(set(table["mass"])) == [499.999969482421875, 750.0, 1000.0, 1250.0, 1500.0]
    for label in (0.0, 1.0):
        _, counts = np.unique(table["mass"][table["label"] == label], return_counts=True)
        assert np.abs(counts / counts.sum() - 0.2).max() < 0.02


def test_features_are_normalized(table: dict[str, np.ndarray]) -> None:
    """Every feature has about mean 0 and standard deviation 1."""
    features = np.stack([table[name] for name in COLUMN_NAMES[1:-1]])
    assert np.abs(features.mean(axis=1)).max() < 0.05
    assert np.abs(features.std(axis=1) - 1).max() < 0.05


def test_b_tags_per_event(table: dict[str, np.ndarray]) -> None:
    """None, one or two of the four jets are tagged, in the shares of the real data."""
    tagged = sum((table[name] > 0).astype(int) for name in B_TAGS)
    shares = np.bincount(tagged, minlength=5) / len(tagged)
    np.testing.assert_allclose(shares, [0.00574, 0.12954, 0.86472, 0, 0], atol=0.01)
    assert all(len(set(table[name])) == 2 for name in B_TAGS)


def test_number_of_jets(table: dict[str, np.ndarray]) -> None:
    """The number of jets takes ten values, 4 to 13, and falls from 5 on."""
    _, counts = np.unique(table["f5"], return_counts=True)
    assert len(counts) == 10
    assert (np.diff(counts[1:]) < 0).all()


def test_azimuths_are_uniform(table: dict[str, np.ndarray]) -> None:
    """Every azimuth fills the circle evenly."""
    for name in ("f2", "f4", "f8", "f12", "f16", "f20"):
        counts, _ = np.histogram(table[name], bins=8, range=(-math.sqrt(3), math.sqrt(3)))
        assert np.abs(counts / counts.sum() - 1 / 8).max() < 0.012


def test_jets_stand_in_falling_order(table: dict[str, np.ndarray]) -> None:
    """The momenta of the four jets correlate as neighbours in rank do."""
    assert correlation(table["f6"], table["f10"]) > correlation(table["f6"], table["f18"]) > 0


@pytest.mark.parametrize(
    ("first", "second", "published"),
    [
        ("f6", "f10", 0.76),
        ("f6", "f26", 0.79),
        ("f22", "f23", 0.88),
        ("f25", "f26", 0.57),
        ("f3", "f26", 0.49),
    ],
)
def test_correlations(table: dict[str, np.ndarray], first: str, second: str, published: float) -> None:
    """The published correlations hold to 0.15."""
    assert correlation(table[first], table[second]) == pytest.approx(published, abs=0.15)


def test_heavier_is_easier(table: dict[str, np.ndarray]) -> None:
    """The mass of the whole event alone tells signal from background, and the better the heavier it is."""
    areas = []
    for mass in sorted(set(table["mass"])):
        chosen = table["mass"] == mass
        off = np.abs(table["f26"][chosen] - np.median(table["f26"][chosen & (table["label"] == 1)]))
        areas.append(auc(-off, table["label"][chosen] == 1))
    assert areas == sorted(areas)
    assert 0.6 < areas[0] < 0.75
    assert areas[-1] > 0.97


def test_mass_peaks_follow_the_resonance(table: dict[str, np.ndarray]) -> None:
    """The median mass of the signal's events rises with the resonance's, almost in proportion."""
    medians = [
        np.median(table["f26"][(table["label"] == 1) & (np.abs(table["mass"] - mass) < 1)]) for mass in MASSES
    ]
    steps = np.diff(medians)
    assert steps.min() > 0
    assert steps.max() / steps.min() < 1.3


def test_blocks_and_seeds_differ() -> None:
    """Another block or another seed gives other records."""
    digests = {simulate_block(seed=seed, block=block).tobytes() for seed, block in [(0, 0), (0, 1), (1, 0)]}
    assert len(digests) == 3


def test_first_block_is_what_it_always_was() -> None:
    """The first block of seed 0 has the bytes it had when the simulation was written, on any machine."""
    block = simulate_block(seed=0, block=0)
    assert hashlib.sha256(block.astype("<f4").tobytes()).hexdigest() == FIRST_BLOCK_SHA256


def test_bytes_do_not_depend_on_the_processor() -> None:
    """Without its widest vector instructions NumPy gives other sines, but the same simulated bytes."""
    dispatched = np._core._multiarray_umath.__cpu_dispatch__
    features = np._core._multiarray_umath.__cpu_features__
    present = " ".join(name for name in dispatched if features[name])
    script = (
        "import hashlib; from pipeline.simulation.records import simulate_block;"
        "print(hashlib.sha256(simulate_block(seed=0, block=0).astype('<f4').tobytes()).hexdigest())"
    )
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": present}
    printed = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
    )
    assert printed.stdout.strip() == FIRST_BLOCK_SHA256


def test_sine_and_cosine() -> None:
    """Both are right to 1e-8, over several turns."""
    turns = np.linspace(-3, 3, 100_001)
    sine, cosine = sine_cosine(turns)
    np.testing.assert_allclose(sine, np.sin(2 * math.pi * turns), atol=1e-8)
    np.testing.assert_allclose(cosine, np.cos(2 * math.pi * turns), atol=1e-8)


def test_angle() -> None:
    """The angle is arctan2's to 3e-8 in all quadrants and on the axes."""
    directions = np.linspace(-math.pi, math.pi, 100_001)
    y, x = 3 * np.sin(directions), 3 * np.cos(directions)
    np.testing.assert_allclose(angle(y, x), np.arctan2(y, x), atol=3e-8)
    axes = np.array([0.0, 1.0, 0.0, -1.0]), np.array([1.0, 0.0, -1.0, 0.0])
    np.testing.assert_allclose(angle(*axes), np.arctan2(*axes), atol=3e-8)


def test_logarithm() -> None:
    """The logarithm is right to 1e-8 over many powers of two."""
    values = np.exp(np.linspace(-30, 30, 100_001))
    np.testing.assert_allclose(logarithm(values), np.log(values), atol=1e-8)


def test_quantiles_give_their_distribution() -> None:
    """Numbers drawn from the table of a bell have its mean, its spread and its quartiles."""
    drawn = Draws(seed=5, block=0).of(quantiles_of(NormalDist().inv_cdf), 4, 50_000)
    assert drawn.shape == (4, 50_000)
    assert abs(drawn.mean()) < 0.01
    assert drawn.std() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(
        np.quantile(drawn, [0.01, 0.25, 0.75, 0.99]), [-2.326, -0.6745, 0.6745, 2.326], atol=0.03
    )


def test_directions_are_unit_vectors_without_preference() -> None:
    """Directions have length 1 and no mean direction."""
    directions = Draws(seed=6, block=0).directions(2, 50_000)
    np.testing.assert_allclose((directions**2).sum(axis=0), 1, atol=1e-7)
    assert np.abs(directions.mean(axis=(1, 2))).max() < 0.01
