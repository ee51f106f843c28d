"""Gabor filters as in the IBSI-2 reference manual: a plane wave under a Gaussian envelope, in one plane of the grid.

With u along the wave and v across it, in the plane,
``g = exp(-(u² + gamma²·v²) / (2·sigma²) + 2πi·u / wavelength)``; unnormalised. Depeursinge et al., "The Image
Biomarker Standardization Initiative: standardized convolutional filters for reproducible radiomics", reference
manual, section on Gabor filters.
"""

from __future__ import annotations

import math

import numpy as np

from .elementary import cos_sin_turns, exp
from .generator import KERNEL_SIZE, TRUNCATE, Filters, Generator, GeneratorParameter, Request, pad_to

_PARAMETERS = (
    GeneratorParameter("sigma", "length", None, "standard deviation of the envelope along the wave"),
    GeneratorParameter("wavelength", "length", None, "length of the wave"),
    GeneratorParameter("gamma", "number", 0.5, "envelope's width along the wave by that across it"),
    GeneratorParameter("theta", "number", 0.0, "direction of the wave in radians, from the plane's second letter"),
    GeneratorParameter("plane", "text", "hw", "the two axes of the plane: dh, dw or hw", ("dh", "dw", "hw")),
    TRUNCATE,
    KERNEL_SIZE,
)


def make_gabor(request: Request) -> Filters:
    """Return real and imaginary part of the filter, of one tap along the axis across the plane.

    Where `sigma` or `wavelength` differ between the plane's axes in voxels, because they are millimetres on an
    uneven grid or a list, every axis is measured in its own.
    """
    letters = "dhw"[-request.ndim :]
    planes = ("dh", "dw", "hw") if request.ndim == 3 else ("hw",)
    plane = request.values.choice("plane", planes, "hw")
    first, second = letters.index(plane[0]), letters.index(plane[1])
    sigma, wavelength = request.lengths("sigma"), request.lengths("wavelength")
    gamma = request.values.number("gamma", 0.5, above=0.0)
    theta = request.values.number("theta", 0.0)
    radii = _read_radii(request, (first, second), sigma, gamma)
    y = np.arange(-radii[0], radii[0] + 1, dtype=np.float64)[:, None]
    x = np.arange(-radii[1], radii[1] + 1, dtype=np.float64)[None, :]
    cos, sin = cos_sin_turns(theta / (2 * math.pi))
    y_sd, x_sd = y / sigma[first], x / sigma[second]
    along, across = sin * y_sd + cos * x_sd, gamma * (cos * y_sd - sin * x_sd)
    magnitude = exp(-0.5 * (along * along + across * across))
    taps = np.stack(cos_sin_turns(sin * (y / wavelength[first]) + cos * (x / wavelength[second]))) * magnitude
    third = next((a for a in range(request.ndim) if a not in (first, second)), None)
    return _extend(request, taps if third is None else np.expand_dims(taps, 1 + third))


def _read_radii(request: Request, plane: tuple[int, int], sigma: tuple[float, ...], gamma: float) -> tuple[int, int]:
    sizes = request.kernel_size()
    radii = request.radii(sigma, min(1.0, gamma)) if sizes is None else tuple(k // 2 for k in sizes)
    out = (radii[plane[0]], radii[plane[1]])
    request.check_taps("sigma" if sizes is None else "kernel_size", 2, tuple(2 * r + 1 for r in out))
    return out


def _extend(request: Request, taps: Filters) -> Filters:
    """Return `taps` with zeros across the plane where ``kernel_size`` wants them."""
    sizes = request.kernel_size()
    if sizes is None:
        return taps
    request.check_taps("kernel_size", 2, sizes)
    return pad_to(taps, sizes)


GABOR = Generator(
    "gabor",
    "Gabor filter in a plane, real and imaginary part (IBSI-2)",
    _PARAMETERS,
    make_gabor,
    2,
    2,
    required=("sigma", "wavelength"),
)
