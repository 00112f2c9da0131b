"""Owns the records of the simulation: which events there are, and their columns as HEPMASS stores them.

Neighbours: `collision` and `reconstruction` make the events, `fetch` writes the records.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulation.collision import Detected, collide, pair_masses, transverse
from pipeline.simulation.draws import Draws
from pipeline.simulation.elementary import angle, logarithm
from pipeline.simulation.reconstruction import reconstruct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.simulation.reconstruction import Reconstructed

NUM_FEATURES = 27
COLUMN_NAMES = ("label", *(f"f{index}" for index in range(NUM_FEATURES)), "mass")
BLOCK_RECORDS = 1 << 13  # part of the data's identity: every block has its own random stream
MASSES = (500.0, 750.0, 1000.0, 1250.0, 1500.0)  # GeV
STORED_500 = 499.999969482421875  # the float32 below 500, which is what HEPMASS holds

# Mean and std of f0 ... f26 before normalization (GeV, radians, counts), rounded, over the first 2**20
# records of seed 0. Part of the data's identity.
_NORMALIZATION = (
    *((97.97, 85.93), (0.0, 0.977), (0.0, 1.8138)),  # lepton: pT, eta, phi
    *((94.43, 81.42), (0.0, 1.8138), (5.447, 1.278)),  # missing momentum: pT, phi; number of jets
    *((195.26, 130.74), (0.0, 0.965), (0.0, 1.8138), (0.539, 0.4985)),  # four jets: pT, eta, phi, b-tag
    *((123.38, 84.17), (0.0, 1.013), (0.0, 1.8138), (0.583, 0.4931)),
    *((74.24, 47.24), (0.0, 1.098), (0.0, 1.8138), (0.456, 0.4981)),
    *((41.87, 21.04), (0.0, 1.221), (0.0, 1.8138), (0.281, 0.4496)),
    *((156.18, 153.05), (312.99, 228.78), (96.73, 57.97), (263.73, 178.9), (812.93, 412.39)),  # masses
)


def simulate_block(*, seed: int, block: int) -> NDArray[np.float32]:
    """Return the 8,192 records of one block, float32 (8192, 29), in the order of COLUMN_NAMES.

    `seed` and `block` are in [0, 2**64). Same arguments, same bytes: on every machine, in every process.
    Labels are 1 (signal) or 0, half of each; f0 ... f26 have about mean 0 and std 1 over both; `mass` is the
    resonance's, in GeV, for signal and one of the same five at random for background.
    """
    draws = Draws(seed=seed, block=block)
    is_signal = draws.words(1, BLOCK_RECORDS)[0] < np.uint32(1 << 31)
    mass = np.array(MASSES)[(draws.fractions(1, BLOCK_RECORDS)[0] * len(MASSES)).astype(np.intp)]
    seen = _selected_events(draws, is_signal, mass)
    features = _features(seen, reconstruct(draws, seen))
    table = np.empty((BLOCK_RECORDS, len(COLUMN_NAMES)), np.float32)
    table[:, 0] = is_signal
    for index, (feature, (mean, std)) in enumerate(zip(features, _NORMALIZATION, strict=True), start=1):
        table[:, index] = (feature - mean) / std
    table[:, -1] = np.where(mass == MASSES[0], STORED_500, mass)
    return table


def _selected_events(draws: Draws, is_signal: NDArray[np.bool_], mass: NDArray[np.float64]) -> Detected:
    """Return one selected event per record: those not selected collide again, about a third each time."""
    pending = np.arange(len(mass))
    places, events = [], []
    while pending.size:
        pair_mass = pair_masses(draws, is_signal=is_signal[pending], resonance_mass=mass[pending])
        selected, seen = collide(draws, pair_mass)
        places.append(pending[selected])
        events.append(seen)
        pending = pending[~selected]
    order = np.argsort(np.concatenate(places))
    return Detected(
        **{
            field.name: np.concatenate([getattr(seen, field.name) for seen in events], axis=-1)[..., order]
            for field in fields(Detected)
        }
    )


def _features(seen: Detected, made: Reconstructed) -> list[NDArray[np.float64]]:
    """Return f0 ... f26 before normalization, float64 (num_records,) each."""
    missing_x, missing_y = seen.missing
    missing = np.sqrt(missing_x * missing_x + missing_y * missing_y)
    features = [*_pt_eta_phi(seen.lepton), missing, angle(missing_y, missing_x), seen.num_jets]
    jets = np.stack([*_pt_eta_phi(seen.jets), made.b_tags], axis=1)
    features += list(jets.reshape(-1, len(missing)))
    return [*features, made.jj, made.jjj, made.lepton_neutrino, made.j_lepton_neutrino, made.pair]


def _pt_eta_phi(
    momenta: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return momentum across the beam, pseudorapidity and azimuth of massless (4, ...) momenta."""
    energy, x, y, z = momenta
    pt = transverse(momenta)
    eta = np.copysign(logarithm((energy + np.abs(z)) / pt), z)
    return pt, eta, angle(y, x)
