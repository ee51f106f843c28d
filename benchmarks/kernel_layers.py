"""The layers that stand for the families of convolution kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volconv.geometry import Triple
from volconv.graph.model import INPUT, Graph, Node
from volconv.graph.passes.algorithms import algorithm_of
from volconv.kernels.catalog import Algorithm, ConvKernel, ConvShape
from volconv.ops.base import Wire
from volconv.ops.conv3d import Conv3d
from volconv.ops.conv_transpose3d import ConvTranspose3d
from volconv.plan.buffers import conv_shape


@dataclass(frozen=True)
class Layer:
    """One layer, float32; `size` is that of an input large enough to take all the scratch there is for it."""

    name: str
    family: str
    op: Conv3d | ConvTranspose3d
    size: Triple
    algorithm: Algorithm | None = None

    @property
    def shape(self) -> ConvShape:
        """What its kernel is chosen by."""
        return conv_shape(self.op, "float32", self.algorithm or algorithm_of(self.op))

    def graph(self) -> Graph:
        """Return a graph of this layer alone, of random weights."""
        op, rng = self.op, np.random.default_rng(0)
        wire = Wire(self.size, op.in_channels)
        tensors = {name: rng.standard_normal(size).astype("f4") for name, size in op.tensor_shapes().items()}
        if self.shape.algorithm == "factored":
            tensors["factors"] = rng.standard_normal((op.out_channels, self.shape.taps)).astype("f4")
        node = Node("layer", "layer", op, (INPUT,), op.out_wire((wire,)), tensors, algorithm=self.shape.algorithm)
        return Graph(wire, (node,), ("layer",))


def _conv(
    name: str, family: str, inputs: int, outputs: int, size: int, *, stride: int = 1, dilation: int = 1,
    groups: int = 1, algorithm: Algorithm | None = None, edges: Triple = (40, 40, 40),
) -> Layer:  # fmt: skip
    none = (0, 0, 0)
    op = Conv3d(inputs, outputs, (size,) * 3, (stride,) * 3, none, none, (dilation,) * 3, groups)
    return Layer(name, family, op, edges, algorithm)


def _up(name: str, family: str, inputs: int, outputs: int, size: int) -> Layer:
    return Layer(name, family, ConvTranspose3d(inputs, outputs, (size,) * 3, (2, 2, 2)), (16, 16, 16))


LAYERS = (
    _conv("1→32, 3³", "last", 1, 32, 3),
    _conv("32→64, 3³, stride 2", "minimal", 32, 64, 3, stride=2),
    _conv("32→32, 1³", "last", 32, 32, 1),
    _conv("1→8, 5³", "first", 1, 8, 5),
    _conv("5→5, 3³, stride 2", "first", 5, 5, 3, stride=2),
    _conv("5→5, 3³, dilation 17", "first", 5, 5, 3, dilation=17),
    _up("transposed 8→5, 3³, stride 2", "first", 8, 5, 3),
    _conv("16→1, 3³", "rows", 16, 1, 3),
    _conv("1→1, 9³, dense", "rows", 1, 1, 9),
    _conv("32→32, 3³", "winograd", 32, 32, 3),
    _conv("16→16, 3³", "winograd", 16, 16, 3),
    _conv("128→128, 3³", "winograd", 128, 128, 3),
    _conv("8→8, 3³", "pairs", 8, 8, 3, edges=(30, 40, 258)),
    _conv("5→5, 3³, dilation 4", "pairs", 5, 5, 3, dilation=4, edges=(40, 50, 264)),
    _up("transposed 32→16, 2³, stride 2", "phases", 32, 16, 2),
    _up("transposed 32→32, 3³, stride 2", "minimal", 32, 32, 3),
    _up("transposed 64→32, 4³, stride 2", "minimal", 64, 32, 4),
    _conv("depthwise 32, 3³", "depthwise", 32, 32, 3, groups=32),
    _conv("Gaussian 9³, three vectors", "sweep", 1, 1, 9, algorithm="factored", edges=(208, 48, 112)),
    _conv("Gaussian 21³, three vectors", "sweep", 1, 1, 21, algorithm="factored", edges=(180, 60, 124)),
)
"""Those of ``volconv bench`` and of `engine.py`, two or more a family where it has several blocks; without padding."""


def block_of(kernel: ConvKernel) -> str:
    """Return a kernel's register block in words."""
    rows = {"last": "voxels", "phases": "voxels", "depthwise": "voxels", "winograd": "tiles", "minimal": "tiles"}.get(
        kernel.name, "vectors"
    )
    return f"{kernel.block} {rows} × {kernel.width}"
