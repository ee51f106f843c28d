"""Filters of three taps an axis: laplacian, sobel, prewitt and the gradient per millimetre, and the box mean.

Signs are those of `scipy.ndimage`: a derivative is positive where values rise with the index.
"""

from __future__ import annotations

import math

import numpy as np

from .generator import KERNEL_SIZE, Filters, Generator, GeneratorParameter, Request, outer

_SLOPE = np.array([-1.0, 0.0, 1.0])
_DELTA = np.array([0.0, 1.0, 0.0])
_SIZE = GeneratorParameter("size", "length", 3, "odd number of voxels an axis")


def make_laplacian(request: Request) -> Filters:
    """Return the sum of [1, −2, 1] along every axis: ``scipy.ndimage.laplace``."""
    curve = np.array([1.0, -2.0, 1.0])
    return request.embed(np.sum(_along_each(request.ndim, curve, _DELTA), axis=0)[None])


def make_sobel(request: Request) -> Filters:
    """Return [−1, 0, 1] along d, h, w in turn, [1, 2, 1] across: ``scipy.ndimage.sobel(axis=)``, unnormalised."""
    return request.embed(_along_each(request.ndim, _SLOPE, np.array([1.0, 2.0, 1.0])))


def make_prewitt(request: Request) -> Filters:
    """Return [−1, 0, 1] along d, h, w in turn, [1, 1, 1] across: ``scipy.ndimage.prewitt(axis=)``, unnormalised."""
    return request.embed(_along_each(request.ndim, _SLOPE, np.ones(3)))


def make_gradient(request: Request) -> Filters:
    """Return the central difference [−1/2, 0, 1/2] / spacing along d, h, w; per voxel where spacing is unknown."""
    out = _along_each(request.ndim, _SLOPE / 2, _DELTA)
    if request.spacing_mm is not None:
        out /= np.reshape(request.spacing_mm, (-1,) + (1,) * request.ndim)
    return request.embed(out)


def make_mean(request: Request) -> Filters:
    """Return 1/(product of sizes) everywhere: ``scipy.ndimage.uniform_filter`` at odd sizes."""
    if "size" not in request.values and "kernel_size" in request.values:
        sizes = request.odd_sizes("kernel_size")
    else:
        sizes = request.odd_sizes("size", 3)
    request.check_taps("size" if "size" in request.values else "kernel_size", 1, sizes)
    return request.embed(np.full((1, *sizes), 1.0 / math.prod(sizes)))


def _along_each(ndim: int, along: Filters, across: Filters) -> Filters:
    return np.stack([outer([along if a == axis else across for a in range(ndim)]) for axis in range(ndim)])


LAPLACIAN = Generator("laplacian", "discrete Laplacian (scipy.ndimage.laplace)", (KERNEL_SIZE,), make_laplacian)
SOBEL = Generator("sobel", "Sobel derivative along each axis (scipy.ndimage.sobel)", (KERNEL_SIZE,), make_sobel, 3, 2)
PREWITT = Generator(
    "prewitt", "Prewitt derivative along each axis (scipy.ndimage.prewitt)", (KERNEL_SIZE,), make_prewitt, 3, 2
)
GRADIENT = Generator(
    "gradient", "central difference along each axis, per millimetre", (KERNEL_SIZE,), make_gradient, 3, 2
)
MEAN = Generator("mean", "mean of a box", (_SIZE, KERNEL_SIZE), make_mean)
