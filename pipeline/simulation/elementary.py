"""Owns the few transcendental functions of the simulation, bit for bit the same on every machine.

NumPy picks its sine or logarithm by processor, and they differ in the last bit. These use only operations
that IEEE 754 rounds in one way (and `frexp`, which is exact), to 1e-8: float32 holds no more.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LOG_2 = 0.6931471805599453
_ROOT_HALF = 0.7071067811865476

# Abramowitz & Stegun 4.4.49: arctan(x) / x in powers of x**2, |x| <= 1, error 2e-8.
_ARCTAN = (
    1.0,
    -0.3333314528,
    0.1999355085,
    -0.1420889944,
    0.1065626393,
    -0.0752896400,
    0.0429096138,
    -0.0161657367,
    0.0028662257,
)


def sine_cosine(turns: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sine and cosine of 2 pi `turns`, float64, to 1e-8.

    Taylor series of half the angle, which lies within a quarter turn, then the double-angle formulas.
    """
    half = (turns - np.floor(turns + 0.5)) * math.pi
    square = half * half
    sine_series, cosine_series = _taylor()
    sine = half * _polynomial(square, sine_series)
    cosine = _polynomial(square, cosine_series)
    return 2 * sine * cosine, cosine * cosine - sine * sine


def angle(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angle of the points (x, y) from the x axis, in (-pi, pi], float64, to 3e-8.

    The origin, which has no angle, must not be among them.

    Source: Abramowitz & Stegun, Handbook of Mathematical Functions, 4.4.49.
    """
    across, along = np.abs(y), np.abs(x)
    ratio = np.minimum(across, along) / np.maximum(across, along)
    octant = ratio * _polynomial(ratio * ratio, _ARCTAN)
    quadrant = np.where(across > along, math.pi / 2 - octant, octant)
    return np.copysign(np.where(x < 0, math.pi - quadrant, quadrant), y)


def logarithm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the natural logarithm of `values` > 0, float64, to 1e-8.

    With values = m 2**e, 1/2 <= m < 1: log m = log sqrt(1/2) + 2 artanh((m - sqrt(1/2)) / (m + sqrt(1/2))).
    """
    mantissa, exponent = np.frexp(values)
    ratio = (mantissa - _ROOT_HALF) / (mantissa + _ROOT_HALF)
    series = _polynomial(ratio * ratio, (1.0, 1 / 3, 1 / 5, 1 / 7, 1 / 9))
    logarithms: NDArray[np.float64] = (exponent - 0.5) * _LOG_2 + 2 * ratio * series
    return logarithms


@functools.cache
def _taylor() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return sin(x) / x and cos(x) in powers of x**2, enough of them for 1e-9 at pi / 2."""
    return (
        tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(7)),
        tuple((-1) ** k / math.factorial(2 * k) for k in range(8)),
    )


def _polynomial(x: NDArray[np.float64], coefficients: Sequence[float]) -> NDArray[np.float64]:
    """Return the polynomial with `coefficients`, lowest power first, by Horner's rule."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total *= x
        total += coefficient
    return total
