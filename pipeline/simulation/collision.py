"""Owns one collision per record: a top-antitop pair, its decays, radiation, and what a detector sees of it.

Momenta are float64 (4, num_particles, num_records): energy, x, y, z, in GeV, z along the beam. Jets and
leptons are massless. Constants that are no particle's property were tuned to what is published of HEPMASS.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulation.draws import Quantiles, quantiles_of
from pipeline.simulation.elementary import sine_cosine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.simulation.draws import Draws

TOP_MASS, W_MASS, B_MASS = 173.0, 80.4, 4.7
NUM_JETS = 4  # the leading jets, which are stored
MAX_NUM_JETS = 13

_TOP_SPREAD, _W_SPREAD = 1.5, 2.1  # natural widths, as the spread of a bell
_RESONANCE_SPREAD = 0.03  # of its mass
_NUM_RADIATED = 2
_MIN_PT = 20.0  # of jets, of the lepton and of the missing momentum
_JET_SLOPE, _LEPTON_SLOPE = math.sinh(3.0), math.sinh(2.5)  # pz / pT at |eta| = 3 and 2.5
_MERGING_DISTANCE = 0.6  # two quarks nearer than this, in (eta, phi), make one jet
_RESPONSE, _RESPONSE_SPREAD, _RESPONSE_LOSS = 1.045, 0.11, 0.09  # measured over true momentum of a jet
_MISSING_SPREAD = 12.0  # GeV, of each component, on top of what the jets miss
_SCORE_SPREAD = 0.4  # of the b-tagger, whose score is 1 for b quarks and 0 for others, in the mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """What the detector sees of num_records events."""

    jets: NDArray[np.float64]  # (4, 4, num_records): momenta of the leading jets, by falling pT
    b_scores: NDArray[np.float64]  # (4, num_records): of the same jets
    lepton: NDArray[np.float64]  # (4, num_records)
    missing: NDArray[np.float64]  # (2, num_records): x and y of the missing momentum
    num_jets: NDArray[np.float64]  # (num_records,): of all jets, 4 to 13


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spectra:
    normal: Quantiles
    continuum: Quantiles  # mass of a Standard-Model pair, GeV
    radiated_pt: Quantiles  # GeV
    radiated_slope: Quantiles  # pz / pT
    pair_slope: Quantiles  # pz / transverse mass
    loss: Quantiles  # momentum outside the jet, in units of its mean
    soft_jets: Quantiles  # number of jets beyond those followed, before rounding down


def pair_masses(
    draws: Draws, *, is_signal: NDArray[np.bool_], resonance_mass: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mass of each top pair, GeV (num_records,): about the resonance's, or of the continuum."""
    spectra = _spectra()
    num_records = len(resonance_mass)
    continuum = draws.of(spectra.continuum, 1, num_records)[0]
    resonance = resonance_mass * (1 + _RESONANCE_SPREAD * draws.of(spectra.normal, 1, num_records)[0])
    masses: NDArray[np.float64] = np.where(is_signal, resonance, continuum)
    return masses


def collide(draws: Draws, pair_mass: NDArray[np.float64]) -> tuple[NDArray[np.bool_], Detected]:
    """Return which of the events with these pair masses are selected, bool (num_records,), and those.

    Selected: four jets or more with pT > 20 GeV and |eta| < 3, a lepton with pT > 20 GeV and |eta| < 2.5,
    20 GeV of missing momentum or more.
    """
    num_records = len(pair_mass)
    radiated = _radiated(draws, num_records)
    bottoms, fermions, antifermions = _decayed_pair(draws, _pair(draws, pair_mass, radiated), pair_mass)
    lepton, neutrino = fermions[:, 0], antifermions[:, 0]
    partons = np.concatenate([bottoms, fermions[:, 1:], antifermions[:, 1:], radiated], axis=1)
    jets = _measured(draws, partons)
    missing = _MISSING_SPREAD * draws.of(_spectra().normal, 2, num_records)
    missing += neutrino[1:3] + _summed(partons[1:3] - jets[1:3])
    scores = _SCORE_SPREAD * draws.of(_spectra().normal, jets.shape[1], num_records)
    scores[:2] += 1  # the first two are the b quarks
    jet_pt = _merge_near_quarks(jets)
    counted = (jet_pt > _MIN_PT) & (np.abs(jets[3]) < _JET_SLOPE * jet_pt)
    num_jets = _summed(counted[None].astype(np.float64))[0]
    soft_jets = np.floor(draws.of(_spectra().soft_jets, 1, num_records)[0])
    selected = (num_jets >= NUM_JETS) & _lepton_selected(lepton) & (_square(missing) > _MIN_PT**2)
    order = np.argsort(np.where(counted, -jet_pt, 0)[:, selected], axis=0, kind="stable")[:NUM_JETS]
    return selected, Detected(
        jets=np.take_along_axis(jets[..., selected], order[None], axis=1),
        b_scores=np.take_along_axis(scores[:, selected], order, axis=0),
        lepton=lepton[:, selected],
        missing=missing[:, selected],
        num_jets=np.minimum(num_jets + soft_jets, MAX_NUM_JETS)[selected],
    )


def transverse(momenta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return pT, the momentum across the beam, GeV, of (4, ...) momenta."""
    return np.sqrt(_square(momenta[1:3]))


def massless(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the momenta (4, ...) of massless particles."""
    return np.stack([np.sqrt(x * x + y * y + z * z), x, y, z])


def _square(across: NDArray[np.float64]) -> NDArray[np.float64]:
    square: NDArray[np.float64] = across[0] * across[0] + across[1] * across[1]
    return square


def _summed(momenta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum over the particles, one after the other: NumPy may reorder its own sums."""
    total = momenta[:, 0]
    for index in range(1, momenta.shape[1]):
        total = total + momenta[:, index]
    return total


def _radiated(draws: Draws, num_records: int) -> NDArray[np.float64]:
    spectra = _spectra()
    pt = draws.of(spectra.radiated_pt, _NUM_RADIATED, num_records)
    sine, cosine = sine_cosine(draws.fractions(_NUM_RADIATED, num_records))
    return massless(pt * cosine, pt * sine, pt * draws.of(spectra.radiated_slope, _NUM_RADIATED, num_records))


def _pair(draws: Draws, pair_mass: NDArray[np.float64], radiated: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the momentum of the pair, (4, 1, num_records): it recoils from the radiated jets."""
    recoil = -_summed(radiated[1:3])
    transverse_square = pair_mass * pair_mass + _square(recoil)
    along = np.sqrt(transverse_square) * draws.of(_spectra().pair_slope, 1, len(pair_mass))[0]
    return np.stack([np.sqrt(transverse_square + along * along), *recoil, along])[:, None]


def _decayed_pair(
    draws: Draws, pair: NDArray[np.float64], pair_mass: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return b quarks and both daughters of the W bosons, (4, 2, num_records) each, leptonic side first."""
    num_records = len(pair_mass)
    top_mass = TOP_MASS + _TOP_SPREAD * draws.of(_spectra().normal, 2, num_records)
    w_mass = W_MASS + _W_SPREAD * draws.of(_spectra().normal, 2, num_records)
    top = _first_daughter(
        pair, pair_mass[None], masses=(top_mass[:1], top_mass[1:]), direction=draws.directions(1, num_records)
    )
    tops = np.concatenate([top, pair - top], axis=1)
    bottom_mass = np.full_like(w_mass, B_MASS)
    bottoms = _first_daughter(
        tops, top_mass, masses=(bottom_mass, w_mass), direction=draws.directions(2, num_records)
    )
    bosons = tops - bottoms
    nothing = np.zeros_like(w_mass)
    fermions = _first_daughter(
        bosons, w_mass, masses=(nothing, nothing), direction=draws.directions(2, num_records)
    )
    return bottoms, fermions, bosons - fermions


def _first_daughter(
    parent: NDArray[np.float64],
    parent_mass: NDArray[np.float64],
    *,
    masses: tuple[NDArray[np.float64], NDArray[np.float64]],
    direction: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the momentum of the first of two daughters of `masses`, sent off in `direction` at rest.

    Source: Review of Particle Physics, "Kinematics", two-body decays and Lorentz transformations.
    """
    first, second = masses
    energy = (parent_mass * parent_mass + first * first - second * second) / (2 * parent_mass)
    # Below threshold, in the tails of both widths, the daughters are left at rest.
    at_rest = np.sqrt(np.maximum(energy * energy - first * first, 0)) * direction
    along = at_rest[0] * parent[1] + at_rest[1] * parent[2] + at_rest[2] * parent[3]
    boost = along / (parent_mass * (parent[0] + parent_mass)) + energy / parent_mass
    return np.concatenate([[(parent[0] * energy + along) / parent_mass], at_rest + parent[1:] * boost])


def _measured(draws: Draws, partons: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the jets of `partons`: directions kept, momenta smeared, part of it lost."""
    shape = partons.shape[1:]
    spread = _RESPONSE_SPREAD * np.sqrt(1 + 30.0 / transverse(partons))  # soft jets are measured worse
    response = _RESPONSE + spread * draws.of(_spectra().normal, *shape)
    response -= _RESPONSE_LOSS * draws.of(_spectra().loss, *shape)
    return massless(*(partons[1:] * np.maximum(response, 0.05)))


def _merge_near_quarks(jets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put both quark jets of a fast W into the first, in place; return pT of all jets, the second's 0 then.

    The mass of two massless jets is about pT pT times their squared distance in (eta, phi).
    """
    first, second = jets[:, 2], jets[:, 3]
    pt = transverse(jets)
    product = first[0] * second[0] - first[1] * second[1] - first[2] * second[2] - first[3] * second[3]
    near = 2 * product < _MERGING_DISTANCE**2 * pt[2] * pt[3]
    first += second * near
    pt[2] = transverse(first)
    pt[3] = np.where(near, 0, pt[3])
    return pt


def _lepton_selected(lepton: NDArray[np.float64]) -> NDArray[np.bool_]:
    pt = transverse(lepton)
    selected: NDArray[np.bool_] = (pt > _MIN_PT) & (np.abs(lepton[3]) < _LEPTON_SLOPE * pt)
    return selected


def _radiated_pt(share: float) -> float:
    """Return a quantile of a power law from 14 GeV on that bends over before 600 GeV."""
    pt = 14 * math.pow(1 - share, -1 / 1.4)
    return pt / (1 + pt / 600)


@functools.cache
def _spectra() -> _Spectra:
    bell = NormalDist().inv_cdf
    return _Spectra(
        normal=quantiles_of(bell),
        continuum=quantiles_of(lambda share: 335 + 125 * math.exp(0.8 * bell(share))),
        radiated_pt=quantiles_of(_radiated_pt),
        radiated_slope=quantiles_of(lambda share: math.sinh(1.6 * bell(share))),
        pair_slope=quantiles_of(lambda share: math.sinh(0.7 * bell(share))),
        loss=quantiles_of(lambda share: -math.log(1 - share)),
        soft_jets=quantiles_of(lambda share: -1.1 * math.log(1 - share)),
    )
