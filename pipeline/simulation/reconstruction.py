"""Owns what an analysis makes of a detected event: b-tags, the neutrino, and the five invariant masses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulation.collision import NUM_JETS, TOP_MASS, W_MASS, massless

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.simulation.collision import Detected
    from pipeline.simulation.draws import Draws

_NO_TAG, _ONE_TAG = (
    0.00574,
    0.12954,
)  # shares of HEPMASS events with that many b-tagged jets; the others have 2
_SWAPPED = 0.4  # share of events whose b jets go to the wrong top, tuned to the published correlations


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstructed:
    """Tags, 0 or 1, float64 (4, num_records), and masses in GeV, float64 (num_records,)."""

    b_tags: NDArray[np.float64]
    jj: NDArray[np.float64]
    jjj: NDArray[np.float64]
    lepton_neutrino: NDArray[np.float64]
    j_lepton_neutrino: NDArray[np.float64]
    pair: NDArray[np.float64]


def reconstruct(draws: Draws, seen: Detected) -> Reconstructed:
    """Return tags and masses: the two jets of the highest b-score are the b jets, the others make a W."""
    num_records = len(seen.num_jets)
    rank = np.argsort(-seen.b_scores, axis=0, kind="stable")
    ranked = np.take_along_axis(seen.jets, rank[None], axis=1)
    hadronic = ranked[:, 2] + ranked[:, 3]
    leptonic = seen.lepton + _neutrino(seen)
    first, second = ranked[:, 0], ranked[:, 1]
    worse = _tops_off(hadronic + first, leptonic + second) > _tops_off(hadronic + second, leptonic + first)
    swapped = worse ^ (draws.fractions(1, num_records)[0] < _SWAPPED)
    return Reconstructed(
        b_tags=_b_tags(draws, rank),
        jj=_mass(hadronic),
        jjj=_mass(hadronic + np.where(swapped, second, first)),
        lepton_neutrino=_mass(leptonic),
        j_lepton_neutrino=_mass(leptonic + np.where(swapped, first, second)),
        pair=_mass(hadronic + leptonic + first + second),
    )


def _b_tags(draws: Draws, rank: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return 1 for the 0, 1 or 2 jets of the highest score, in the shares of the real data."""
    share = draws.fractions(1, rank.shape[1])
    num_tags = (share > _NO_TAG).astype(np.intp) + (share > _NO_TAG + _ONE_TAG)
    tags = np.empty(rank.shape)
    np.put_along_axis(tags, rank, (np.arange(NUM_JETS)[:, None] < num_tags).astype(np.float64), axis=0)
    return tags


def _neutrino(seen: Detected) -> NDArray[np.float64]:
    """Return the neutrino that makes a W with the lepton, the slower of two; its real part if there is none.

    With a = W**2 / 2 + pT(lepton) . missing: pz = (a pz(lepton) -+ E sqrt(a**2 - pT**2 missing**2)) / pT**2.
    """
    energy, x, y, z = seen.lepton
    missing_x, missing_y = seen.missing
    lepton_square = x * x + y * y
    missing_square = missing_x * missing_x + missing_y * missing_y
    product = W_MASS**2 / 2 + x * missing_x + y * missing_y
    root = energy * np.sqrt(np.maximum(product * product - lepton_square * missing_square, 0))
    along = (product * z - np.copysign(root, product * z)) / lepton_square
    return massless(missing_x, missing_y, along)


def _tops_off(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.abs(_mass(first) - TOP_MASS) + np.abs(_mass(second) - TOP_MASS)


def _mass(momenta: NDArray[np.float64]) -> NDArray[np.float64]:
    energy, x, y, z = momenta
    mass: NDArray[np.float64] = np.sqrt(np.maximum(energy * energy - x * x - y * y - z * z, 0))
    return mass
