"""Measure the convolution kernels beside the machine's arithmetic peak, in one process, with arrays reused.

    python benchmarks/engine.py [--rounds 7] [--threads N] [name ...]

Every round measures the peak (fused multiply-adds in registers only, all threads) and then each layer once, so that a
slow moment of a shared machine hits both; the table gives medians. Each layer is checked against float64 beforehand, on
voxels picked over the whole box.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from volconv.graph.passes.algorithms import algorithm_of
from volconv.kernels import jit
from volconv.kernels.catalog import choose_conv
from volconv.kernels.conv import bind_conv
from volconv.kernels.peak import make_aligned, make_peak
from volconv.ops.conv3d import Conv3d
from volconv.plan.buffers import conv_shape

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Layer:
    """A convolution of `edge`^3 output voxels."""

    name: str
    inputs: int
    outputs: int
    kernel: tuple[int, int, int]
    edge: int
    dilation: int = 1
    stride: int = 1
    groups: int = 1


LAYERS = (
    Layer("32-32", 32, 32, (3, 3, 3), 96),
    Layer("5-5d4", 5, 5, (3, 3, 3), 128, dilation=4),
    Layer("64-64", 64, 64, (3, 3, 3), 48),
    Layer("128-128", 128, 128, (3, 3, 3), 24),
    Layer("16-16", 16, 16, (3, 3, 3), 128),
    Layer("8-8", 8, 8, (3, 3, 3), 128),
    Layer("21-21d8", 21, 21, (3, 3, 3), 96, dilation=8),
    Layer("1-32", 1, 32, (3, 3, 3), 96),
    Layer("32-64s2", 32, 64, (3, 3, 3), 48, stride=2),
    Layer("16-16s2", 16, 16, (3, 3, 3), 64, stride=2),
    Layer("32-32k1", 32, 32, (1, 1, 1), 96),
    Layer("1-16", 1, 16, (3, 3, 3), 128),
    Layer("16-16k1", 16, 16, (1, 1, 1), 128),
    Layer("16-1", 16, 1, (3, 3, 3), 96),
    Layer("16-1k1", 16, 1, (1, 1, 1), 128),
    Layer("depthwise", 32, 32, (3, 3, 3), 96, groups=32),
    Layer("1-1k9", 1, 1, (9, 9, 9), 128),
    Layer("1-1d", 1, 1, (17, 1, 1), 128),
    Layer("1-1h", 1, 1, (1, 17, 1), 128),
    Layer("1-1w", 1, 1, (1, 1, 17), 128),
    Layer("1-8", 1, 8, (5, 5, 5), 96),
)


def make_case(layer: Layer, seed: int = 0) -> tuple[Callable[[], float], str]:
    """Return a function that runs the layer once and gives multiply-adds a second, and the kernel's name."""
    rng = np.random.default_rng(seed)
    taps = int(np.prod(layer.kernel))
    op = Conv3d(
        layer.inputs, layer.outputs, layer.kernel, (layer.stride,) * 3, dilation=(layer.dilation,) * 3,
        groups=layer.groups,
    )  # fmt: skip
    shape = conv_shape(op, "float32", algorithm_of(op))
    kernel = choose_conv(shape)
    weights = rng.standard_normal((layer.outputs, shape.group_inputs, taps)).astype(np.float32)
    bound = bind_conv(kernel, shape, weights)
    edge = [(layer.edge - 1) * layer.stride + layer.dilation * (k - 1) + 1 for k in layer.kernel]
    x = rng.standard_normal((layer.inputs, *edge)).astype(np.float32)
    last = kernel.reads != "first" and layer.inputs > 1
    stored = np.ascontiguousarray(x.transpose(1, 2, 3, 0)) if last else x
    steps = tuple(s // 4 for s in (stored.transpose(3, 0, 1, 2) if last else stored).strides)
    flat = make_aligned(stored.size + 4096)
    flat[: stored.size] = stored.ravel()
    places = np.stack(np.meshgrid(*map(np.arange, layer.kernel), indexing="ij"), -1).reshape(-1, 3) * layer.dilation
    offsets = (places * steps[1:]).sum(1)
    x_steps = (steps[0], *(layer.stride * s for s in steps[1:]))
    channels = -(-layer.outputs // kernel.channel_multiple) * kernel.channel_multiple
    box = (layer.edge,) * 3
    out = make_aligned(channels * layer.edge**3)
    shaped = out.reshape((*box, channels) if kernel.writes == "last" else (channels, *box))
    seen = shaped.transpose(3, 0, 1, 2) if kernel.writes == "last" else shaped
    out_steps = tuple(s // 4 for s in seen.strides)
    scratch = make_aligned(bound.scratch_elements(jit.thread_count()))
    products = layer.edge**3 * layer.outputs * shape.group_inputs * taps

    def measure() -> float:
        start = time.perf_counter()
        bound.run(flat, 0, x_steps, offsets, out, 0, out_steps, box, scratch=scratch)
        return products / (time.perf_counter() - start)

    measure()
    for z, y, w in rng.integers(0, layer.edge, (50, 3)):
        where = places + np.array([z, y, w]) * layer.stride
        read = x[:, where[:, 0], where[:, 1], where[:, 2]].reshape(layer.groups, shape.group_inputs, taps)
        grouped = weights.reshape(layer.groups, shape.group_outputs, shape.group_inputs, taps)
        exact = np.einsum("gct,goct->go", read.astype(float), grouped.astype(float)).ravel()
        size = np.einsum("gct,goct->go", abs(read.astype(float)), abs(grouped.astype(float))).ravel()
        count = shape.group_inputs * taps
        assert np.all(abs(seen[: layer.outputs, z, y, w] - exact) <= 4 * 2**-23 * count**0.5 * size), layer.name
    name = f"{kernel.name} {kernel.block}x{kernel.width}x{kernel.lanes}"
    return measure, name


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="layers: " + " ".join(layer.name for layer in LAYERS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=numba.config.NUMBA_NUM_THREADS)
    options = parser.parse_args()
    threads = jit.set_threads(options.threads)
    peak = make_peak()
    cases = {layer.name: make_case(layer) for layer in LAYERS if not options.names or layer.name in options.names}
    rates: dict[str, list[float]] = {name: [] for name in cases}
    shares: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.rounds):
        for name, (measure, _kernel) in cases.items():
            before = peak()
            rates[name].append(measure())
            shares[name].append(rates[name][-1] / (0.5 * (before + peak())))
    print(f"{'layer':12} {'kernel':16} {'GF/s':>8} {'best':>8} {'of peak':>8} {'best':>8}")
    for name, (_, kernel) in cases.items():
        rate, share = 2e-9 * np.array(rates[name]), np.array(shares[name])
        print(
            f"{name:12} {kernel:16} {np.median(rate):8.1f} {rate.max():8.1f} {np.median(share):8.2f} {share.max():8.2f}"
        )
    every = np.concatenate([np.array(rates[n]) / np.array(shares[n]) for n in cases]) * 2e-9
    print(f"{'peak':12} {threads} threads {'':6} {np.median(every):8.1f} {every.max():8.1f}")


if __name__ == "__main__":
    main()
