"""The Gaussian family: gaussian and its derivatives, Laplacian of Gaussian, difference of Gaussians, unsharp mask.

Taps are those of `scipy.ndimage` (``gaussian_filter``, ``gaussian_laplace``), which correlates with the sampled
kernel reversed; they agree to rounding, and unlike scipy's they are the same bits on every machine.
"""

from __future__ import annotations

import math

import numpy as np

from .elementary import exp
from .generator import KERNEL_SIZE, SIGMA, TRUNCATE, Filters, Generator, GeneratorParameter, Request, outer, pad_to

MAX_ORDER = 10
_ORDER = GeneratorParameter("order", "orders", 0, f"order of the derivative, 0 to {MAX_ORDER}, one or one an axis")
_RATIO = GeneratorParameter("ratio", "number", 1.6, "of the second standard deviation to the first")
_AMOUNT = GeneratorParameter("amount", "number", 1.0, "share of the detail that is added")


def sample_gaussian(sigma: float, order: int, radius: int) -> Filters:
    """Return the taps (2·radius + 1,) whose correlation takes the Gaussian's derivative of `order` along one axis.

    The Gaussian is sampled at whole voxels and scaled to sum 1; a derivative is the polynomial of the continuous
    one times these samples (`scipy.ndimage.gaussian_filter1d`, parameter ``order``).
    """
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    variance = sigma * sigma
    taps = exp(-0.5 / variance * (x * x))
    taps = taps / math.fsum(taps)
    if order == 0:
        return taps
    # With g = q(x)·exp(p(x)): g' = (q' + q·p')·exp(p), p' = -x/variance; q by its coefficients, lowest first.
    q = [1.0]
    for _ in range(order):
        slope = [*(n * q[n] for n in range(1, len(q))), 0.0, 0.0]
        q = [a - b for a, b in zip(slope, [0.0, *(c / variance for c in q)], strict=True)]
    factor = np.zeros_like(x)
    for coefficient in reversed(q):
        factor = factor * x + coefficient
    return (factor * taps)[::-1].copy()


def make_gaussian(request: Request) -> Filters:
    """Return the Gaussian, or its derivative of ``order``: ``scipy.ndimage.gaussian_filter``."""
    sigma, radii = _read_scale(request)
    orders = request.values.integers("order", request.ndim, (0,) * request.ndim, minimum=0)
    if max(orders) > MAX_ORDER:
        request.values.fail("order", str(max(orders)), f"a derivative of order {MAX_ORDER} at most")
    return _separable(sigma, orders, radii)[None]


def make_log(request: Request) -> Filters:
    """Return the Laplacian of Gaussian: ``scipy.ndimage.gaussian_laplace``, the sum of the second derivatives."""
    sigma, radii = _read_scale(request)
    orders = [tuple(2 if axis == a else 0 for a in range(request.ndim)) for axis in range(request.ndim)]
    out = _separable(sigma, orders[0], radii)
    for order in orders[1:]:
        out += _separable(sigma, order, radii)
    return out[None]


def make_dog(request: Request) -> Filters:
    """Return gaussian(sigma) − gaussian(ratio·sigma), each with the radius its own sigma gives."""
    sigma = request.lengths("sigma")
    ratio = request.values.number("ratio", 1.6, above=0.0)
    wide = tuple(ratio * s for s in sigma)
    if min(wide) <= 1e-15:
        request.values.fail("ratio", f"{ratio:g}", "a ratio that leaves a standard deviation above 0")
    given = _given_radii(request)
    narrow_radii = given or request.radii(sigma)
    wide_radii = given or request.radii(wide)
    sizes = tuple(2 * max(a, b) + 1 for a, b in zip(narrow_radii, wide_radii, strict=True))
    request.check_taps(_size_key(request), 1, sizes)
    none = (0,) * request.ndim
    first = pad_to(_separable(sigma, none, narrow_radii)[None], sizes)
    first -= pad_to(_separable(wide, none, wide_radii)[None], sizes)
    return first


def make_unsharp(request: Request) -> Filters:
    """Return (1 + amount)·δ − amount·gaussian(sigma), an unsharp mask of sum 1."""
    sigma, radii = _read_scale(request)
    amount = request.values.number("amount", 1.0)
    out = -amount * _separable(sigma, (0,) * request.ndim, radii)
    out[radii] += 1.0 + amount
    return out[None]


def _read_scale(request: Request) -> tuple[tuple[float, ...], tuple[int, ...]]:
    sigma = request.lengths("sigma")
    radii = _given_radii(request) or request.radii(sigma)
    request.check_taps(_size_key(request), 1, tuple(2 * r + 1 for r in radii))
    return sigma, radii


def _given_radii(request: Request) -> tuple[int, ...] | None:
    sizes = request.kernel_size()
    return None if sizes is None else tuple(k // 2 for k in sizes)


def _size_key(request: Request) -> str:
    return "kernel_size" if "kernel_size" in request.values else "sigma"


def _separable(sigma: tuple[float, ...], orders: tuple[int, ...], radii: tuple[int, ...]) -> Filters:
    return outer([sample_gaussian(s, o, r) for s, o, r in zip(sigma, orders, radii, strict=True)])


GAUSSIAN = Generator(
    "gaussian",
    "Gaussian of sum 1, or its derivatives (scipy.ndimage.gaussian_filter)",
    (SIGMA, _ORDER, TRUNCATE, KERNEL_SIZE),
    make_gaussian,
    required=("sigma",),
)
LOG = Generator(
    "log",
    "Laplacian of Gaussian (scipy.ndimage.gaussian_laplace)",
    (SIGMA, TRUNCATE, KERNEL_SIZE),
    make_log,
    required=("sigma",),
)
DOG = Generator(
    "dog",
    "difference of Gaussians: gaussian(sigma) - gaussian(ratio*sigma)",
    (SIGMA, _RATIO, TRUNCATE, KERNEL_SIZE),
    make_dog,
    required=("sigma",),
)
UNSHARP = Generator(
    "unsharp",
    "unsharp mask: (1 + amount) times the volume less amount times its Gaussian",
    (SIGMA, _AMOUNT, TRUNCATE, KERNEL_SIZE),
    make_unsharp,
    required=("sigma",),
)
