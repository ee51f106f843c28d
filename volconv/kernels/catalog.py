"""What each convolution kernel can do, needs and costs: with `catalog_memory` all that planning may import.

Knows nothing of numba, and of the host only its vector width: a choice here depends on a layer's parameters alone,
never on a timing run, a tile's shape or a number of threads.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from .catalog_filters import FilterName, count_products, count_transforms, find_filters

if TYPE_CHECKING:
    import numpy as np

Layout = Literal["first", "last"]
DTypeName = Literal["float32", "float64"]
Algorithm = Literal["direct", "winograd", "winograd1d", "factored"]

ACTIVATIONS: Mapping[str, tuple[str, ...]] = {
    "identity": (),
    "relu": (),
    "leaky_relu": ("negative_slope",),
    "prelu": (),
    "elu": ("alpha",),
    "selu": (),
    "gelu": (),
    "gelu_tanh": (),
    "silu": (),
    "sigmoid": (),
    "tanh": (),
    "softplus": ("beta", "threshold"),
    "hardswish": (),
    "clip": ("min", "max"),
    "abs": (),
    "threshold": ("threshold",),
}
"""Functions of one value a kernel can apply and their parameters in order (a PReLU's slopes are an array apart)."""


@dataclass(frozen=True)
class ConvShape:
    """All that the choice of a convolution's kernel may depend on.

    Attributes
    ----------
    in_channels, out_channels, groups : int
        Channels read and written, and into how many groups both fall.
    taps : int
        Kernel positions T (the most any phase has, for a transposed convolution).
    dtype : {"float32", "float64"}
        Of volumes, weights and sums.
    step_w : int
        Voxels between the inputs of two outputs that are neighbours along w: the stride of a forward convolution.
    algorithm : {"direct", "winograd", "winograd1d", "factored"}
        What the sums' order follows, see `choose_algorithm`; ``factored`` sums along d, then h, then w, with the
        vectors a filter is the product of.
    taps_h : int
        Kernel positions along h.
    reach : tuple of int
        Voxels along h and w from the first tap to the last.
    phases : int
        Outputs at each place of the input: the product of a transposed convolution's strides.
    lengths : tuple of int
        Of a factored filter's vectors along d, h, w; `taps` is their sum.
    filters : tuple of str
        Of a layer that Winograd's minimal filters compute, those of its axes; none for 3 x 3 x 3 taps at stride 1.
    kinds : tuple of (taps, phases)
        Of a transposed convolution: each set of phases that read the same inputs, by taps and number. Known to nothing
        but the prediction of memory; without it each phase counts as one that has most taps and shares no inputs.
    """

    in_channels: int
    out_channels: int
    groups: int
    taps: int
    dtype: DTypeName = "float32"
    step_w: int = 1
    algorithm: Algorithm = "direct"
    taps_h: int = 1
    reach: tuple[int, int] = (0, 0)
    phases: int = 1
    lengths: tuple[int, int, int] = (1, 1, 1)
    kinds: tuple[tuple[int, int], ...] = ()
    filters: tuple[FilterName, ...] = ()

    @property
    def group_inputs(self) -> int:
        """Input channels each output channel sums over."""
        return self.in_channels // self.groups

    @property
    def group_outputs(self) -> int:
        """Output channels that share their input channels."""
        return self.out_channels // self.groups

    @property
    def itemsize(self) -> int:
        """Bytes a value takes."""
        return 8 if self.dtype == "float64" else 4


@dataclass(frozen=True)
class ConvKernel:
    """A compiled form of the convolution: the layouts it wants and the block of outputs it keeps in registers.

    Attributes
    ----------
    name : str
        Family: ``last`` (vectors of output channels), ``first`` (vectors of voxels along w), ``rows`` (as ``first`` for
        one output channel a group, several output rows at once), ``winograd`` (tiles of 2 x 2 x 2 outputs),
        ``minimal`` (tiles of layers with other filters along their axes, transposed ones among them), ``pairs`` (pairs
        of output rows, vectors of voxels along w), ``phases`` (as ``last`` for all phases of a transposed convolution
        at once), ``depthwise`` (vectors of channels, each convolved by itself), ``sweep`` (factored filters).
    reads : {"first", "last", "any"}
        ``first``: fast when neighbours along w lie side by side (right for any steps, but for ``pairs``, which needs
        them so); ``last``: needs channels that lie side by side; ``any``: any layout.
    writes : {"first", "last"}
        Layout of the output. ``last`` needs a channel step of 1 and writes `channel_multiple`-rounded channels.
    channel_multiple : int
        Channels of a ``last`` output are rounded up to a multiple of this; the padding channels are written too.
    lanes : int
        Values in a vector.
    block : int
        In a register block: voxels (``last``, ``phases``, ``depthwise``), vectors of voxels (``first``, ``rows``,
        ``pairs``, ``sweep``) or tiles.
    width : int
        In a block: vectors of output channels (``last``, ``phases``, ``depthwise``, ``winograd``), output channels
        (``first``, ``pairs``), output rows (``rows``, ``sweep``).
    step : int
        Input step along w the loads are made for: 1, 2, or 0 for any.
    tail : int
        Vectors of voxels (``first``, ``rows``, ``pairs``, ``sweep``) in the smaller blocks rows are cut into besides.
    algorithm : str
        Kernels of one algorithm give the same bits.
    """

    name: Literal["last", "first", "rows", "winograd", "minimal", "pairs", "phases", "depthwise", "sweep"]
    reads: Literal["first", "last", "any"]
    writes: Layout
    channel_multiple: int
    lanes: int
    block: int
    width: int
    step: int = 0
    tail: int = 0
    algorithm: Algorithm = "direct"


@dataclass(frozen=True)
class Epilogue:
    """What is done to a sum before it is stored: ``v = fma(v, scale, shift)`` if given, then the activation.

    A convolution's may add a value of another volume before or after the activation.

    Attributes
    ----------
    scale, shift : (O,) array or None
        Both or neither: one pair an output channel.
    activation : str
        A name of `ACTIVATIONS`.
    parameters : tuple of float
        The activation's parameters, in the catalog's order.
    slope : (O,) array or None
        For ``prelu``: the slope of negative values, one an output channel.
    residual : {"", "before", "after"}
        Where another volume's value is added, if at all: before or after the activation. After one that is not among
        `IN_REGISTERS` it cannot be.
    """

    scale: np.ndarray[Any, Any] | None = field(default=None, compare=False)
    shift: np.ndarray[Any, Any] | None = field(default=None, compare=False)
    activation: str = "identity"
    parameters: tuple[float, ...] = ()
    slope: np.ndarray[Any, Any] | None = field(default=None, compare=False)
    residual: Literal["", "before", "after"] = ""


@cache
def _cpu_features() -> frozenset[str]:
    """Return NumPy's names of what this processor can do (numba would take 0.3 s to say the same)."""
    umath = import_module("numpy._core._multiarray_umath")
    return frozenset(name for name, has in getattr(umath, "__cpu_features__", {}).items() if has)


def vector_bits() -> int:
    """Return the vector width kernels are made for: 512, 256 or 128 bits.

    The environment's ``VOLCONV_VECTOR_BITS`` narrows it (results keep their bits); other values of it are ignored.
    """
    features = _cpu_features()
    host = 512 if "AVX512_SKX" in features else 256 if "AVX2" in features else 128
    wanted = os.environ.get("VOLCONV_VECTOR_BITS", "")
    return min(host, int(wanted)) if wanted in ("512", "256", "128") else host


def has_fma() -> bool:
    """Return whether kernels fuse multiply and add; on a processor that cannot, sums round twice a step (other bits).

    Numba can be told of another processor than this one: ``NUMBA_CPU_FEATURES`` then says what it can do.
    """
    told = os.environ.get("NUMBA_CPU_FEATURES")
    if told is not None and platform.machine() in ("x86_64", "AMD64"):
        return "+fma" in told.split(",")
    return bool({"FMA3", "AVX512F", "ASIMD", "NEON_VFPV4", "VSX", "VX", "LSX"} & _cpu_features())


IN_REGISTERS = ("identity", "relu", "leaky_relu", "prelu", "clip")
"""Activations that a convolution applies before its sums leave the registers."""

# Register blocks (voxels x channel vectors, or w vectors x channels) that fit 32 or 16 vector registers with their
# operands, and give the 8 independent sums that two 4-cycle multiply-adds a cycle need.
_LAST_BLOCKS = {True: {4: 6, 3: 7, 2: 8, 1: 8}, False: {2: 6}}
_PHASE_BLOCKS = {True: {4: 5, 3: 7, 2: 12, 1: 16}, False: {2: 6, 1: 10}}
_DEPTHWISE_BLOCKS = {True: {4: 6, 3: 8, 2: 8, 1: 12}, False: {2: 4, 1: 8}}
_FIRST_BLOCKS = {
    True: {2: (8, 4), 3: (6, 3), 4: (4, 3), 5: (4, 3), 6: (4, 3), 7: (3, 2), 8: (3, 2)},
    False: {2: (4, 2), 3: (3, 2), 4: (2, 1), 5: (2, 1), 6: (2, 1), 8: (1, 1)},
}
_WINOGRAD_BLOCKS = {True: {3: 8, 2: 12, 1: 24}, False: {2: 6, 1: 12}}
_ROWS_BLOCKS = {True: (8, 6), False: (3, 3)}
_SWEEP_BLOCKS = {True: (4, 2), False: (2, 1)}


_WIDEST_PAIRS = 16  # voxels
_TRANSFORM = 10  # products in the time of making a value or of using a point (5 to 18 on Zen 4, by layer)


def choose_algorithm(
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    in_channels: int,
    out_channels: int,
) -> Algorithm:
    """Return the algorithm of a forward convolution: by its parameters alone, whatever the processor.

    ``winograd`` shares products between 2 x 2 x 2 outputs: 64 instead of 216 for 3 x 3 x 3 taps at stride 1, 125 at
    stride 2, for the price of transforming every channel; `choose_filters` says of which other layers.
    ``winograd1d`` shares them between two rows of outputs, 4 instead of 6, which vectors along w make cheap
    enough for few channels. All are F(2, 3) and F(2, 2) of Winograd's family, whose errors stay near the direct sum's.
    """
    if choose_filters(kernel_size, stride, dilation, groups, in_channels, out_channels):
        return "winograd"
    # pairs lie a dilation apart: where that is wide, tiles cut many of them, and what they share leaves the caches
    if groups != 1 or kernel_size[0] != 3 or stride != (1, 1, 1) or max(dilation) > _WIDEST_PAIRS:
        return "direct"
    if kernel_size == (3, 3, 3) and min(in_channels, out_channels) >= 12:
        return "winograd"
    taps = kernel_size[1] * kernel_size[2]
    return "winograd1d" if taps >= 9 and in_channels >= 3 and 3 <= out_channels <= 12 else "direct"


def choose_filters(
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    in_channels: int,
    out_channels: int,
    transposed: bool = False,
) -> tuple[FilterName, ...]:
    """Return the minimal filters of a layer's axes where they save products enough to pay for the transforms.

    None for 3 x 3 x 3 taps at stride 1, which have a kernel of their own.
    """
    apart = max((d for d, size in zip(dilation, kernel_size, strict=True) if size > 1), default=1)
    if groups != 1 or min(in_channels, out_channels) < 12 or apart > _WIDEST_PAIRS:
        return ()
    names = find_filters(kernel_size, stride, dilation, transposed)
    if not names or names == ("three",) * 3:
        return ()
    fast, direct = count_products(names)
    values, points = count_transforms(names)
    cost = fast * in_channels * out_channels + _TRANSFORM * (values * in_channels + points * out_channels)
    return names if cost < 0.95 * direct * in_channels * out_channels else ()


def _blocks_waste(channels: int, width: int) -> float:
    """Return the share of lanes (or channels) that blocks of `width` compute in vain."""
    return -(-channels // width) * width / channels - 1


def choose_conv(shape: ConvShape, bits: int | None = None, wanted: Layout | None = None) -> ConvKernel:
    """Return the kernel for a layer of `shape`.

    Parameters
    ----------
    shape : ConvShape
        The layer.
    bits : int, optional
        Vector width, 128, 256 or 512; this processor's if left out.
    wanted : {"first", "last"}, optional
        The layout in which all who read the output take it: decides where both do about as well.

    Returns
    -------
    ConvKernel
        Every choice gives the same bits.
    """
    bits = vector_bits() if bits is None else bits
    lanes = bits // (8 * shape.itemsize)
    many_registers = bits == 512
    outputs = shape.group_outputs
    vectors = -(-outputs // lanes)
    if shape.algorithm == "winograd":
        blocks = _WINOGRAD_BLOCKS[many_registers]
        # one vector of weights a broadcast input keeps the load units as busy as the multipliers
        width = min(blocks, key=lambda n: -(-vectors // n) * n * (1.25 if n == 1 else 1))
        name: Literal["minimal", "winograd"] = "minimal" if shape.filters else "winograd"
        if name == "winograd" and (shape.taps, shape.step_w, shape.phases) != (27, 1, 1):
            raise ValueError(f"a layer of {shape.taps} taps, expected its filters: those of 3 x 3 x 3 at stride 1")
        return ConvKernel(name, "last", "last", lanes, lanes, blocks[width], width, algorithm="winograd")
    if shape.algorithm == "factored":
        block, tail = _SWEEP_BLOCKS[many_registers]
        return ConvKernel("sweep", "first", "first", 1, lanes, block, 4, 1, tail, "factored")
    sizes = _FIRST_BLOCKS[many_registers]
    # A block's loads cost about as much as another channel would: wide blocks beat an exact fit of narrow ones.
    width = min(sizes, key=lambda n: -(-outputs // n) * (n + 1.2))
    if shape.algorithm == "winograd1d":
        block, tail = sizes[width]
        return ConvKernel("pairs", "first", "first", 1, lanes, block, width, 1, tail, "winograd1d")
    whole = shape.groups == 1 or outputs % lanes == 0
    if shape.phases > 1 and whole and outputs >= 16 and _blocks_waste(outputs, lanes) <= 0.15:
        blocks = _PHASE_BLOCKS[many_registers]
        together = vectors * (shape.phases if shape.taps == 1 else 1)  # phases of one tap mostly read the same input
        # one vector of weights a broadcast input keeps the load units as busy as the multipliers
        width = min(blocks, key=lambda n: (-(-together // n) * n * (1.25 if n == 1 else 1), -n))
        return ConvKernel("phases", "any", "last", lanes, lanes, blocks[width], width)
    enough = vectors >= (1 if wanted == "last" else 2)
    if whole and enough and outputs >= 16 and _blocks_waste(outputs, lanes) <= 0.15:
        blocks = _LAST_BLOCKS[many_registers]
        # one vector of weights a broadcast input keeps the load units as busy as the multipliers
        width = min(blocks, key=lambda n: (-(-vectors // n) * n * (1.25 if n == 1 else 1), -n))
        return ConvKernel("last", "any", "last", lanes, lanes, blocks[width], width)
    if shape.group_inputs == outputs == 1 < shape.groups and shape.groups % lanes == 0 and shape.groups >= 16:
        blocks, vectors = _DEPTHWISE_BLOCKS[many_registers], shape.groups // lanes
        width = min(blocks, key=lambda n: (_blocks_waste(vectors, n), -n))
        return ConvKernel("depthwise", "last", "last", lanes, lanes, blocks[width], width)
    step = shape.step_w if shape.step_w in (1, 2) else 0
    if outputs == 1:
        block, tail = _ROWS_BLOCKS[many_registers]
        return ConvKernel("rows", "first", "first", 1, lanes, block, 2, step, tail)
    block, tail = sizes[width]
    return ConvKernel("first", "first", "first", 1, lanes, block, width, step, tail)


def conv_seconds(shape: ConvShape, voxels: int, threads: int) -> float:
    """Return a rough time for `voxels` outputs a channel: what arithmetic or memory takes, whichever is longer.

    Parameters
    ----------
    shape : ConvShape
        The layer.
    voxels : int
        Output voxels of one channel.
    threads : int
        Threads at work.
    """
    lanes = vector_bits() // (8 * shape.itemsize)
    products = voxels * shape.out_channels * shape.group_inputs * shape.taps
    values = voxels * (shape.in_channels * shape.step_w + shape.out_channels)
    if shape.algorithm == "winograd":  # fewer products, and the transforms
        fast, direct = count_products(shape.filters or ("three",) * 3)
        products = products * fast // direct + 12 * voxels * (shape.in_channels + shape.out_channels)
    elif shape.algorithm == "winograd1d":
        products = products * 4 // 6 + 6 * voxels * (shape.in_channels + shape.out_channels)
    multiply_adds_per_second = 2 * lanes * 2.2e9 * (0.8 if shape.group_outputs > 1 else 0.5)
    return max(products / multiply_adds_per_second, values * shape.itemsize / 8e9) / threads + 5e-5
