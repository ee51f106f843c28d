"""The pipelines that are timed: specs as mappings, and their weights, the same on every machine.

Random weights are scaled as He et al. do (https://doi.org/10.1109/ICCV.2015.123), so that values keep their size from
stage to stage and errors can be compared with them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod, sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geometry import Triple
from ...graph.build import build_graph, make_loader
from ...graph.model import Graph
from ...ops.base import Wire
from ...spec.model import Spec
from ...weights.store import open_weights
from ..job import read_spec

Array = NDArray[Any]
_MESHNET_DILATIONS = (1, 2, 4, 8, 16, 8, 4, 2, 1)
_MESHNET_FILE = Path("nets") / "brainchop_tissue_fast" / "model.pth"


@dataclass(frozen=True)
class Network:
    """A spec and the tensors its stages ask for by name.

    Attributes
    ----------
    spec : mapping
    tensors : mapping
        Empty where the spec makes its own.
    """

    spec: Mapping[str, Any]
    tensors: Mapping[str, Array]

    @contextmanager
    def opened(self) -> Iterator[tuple[Spec, Path | None]]:
        """Yield the spec and the file of its weights, which is gone when the block is left."""
        spec = read_spec(self.spec, {})
        if not self.tensors:
            yield spec, None
            return
        with TemporaryDirectory(prefix="volconv-bench-") as folder:
            path = Path(folder) / "weights.npz"
            np.savez(path, allow_pickle=False, **dict(self.tensors))
            yield spec, path

    def build(self, shape: Triple, channels: int) -> Graph:
        """Return the graph over an input of `shape` and `channels`, before any pass."""
        with self.opened() as (spec, weights):
            loader = make_loader(spec, weights)
            try:
                return build_graph(spec, Wire(shape, channels, spec.dtype), loader)
            finally:
                loader.close()


@dataclass(frozen=True)
class Layer:
    """One convolution of a cube of `edge` voxels, zero-padded so that stride 1 keeps the size.

    Attributes
    ----------
    inputs, outputs, kernel, edge, stride, dilation, groups : int
        As torch's; kernel, stride and dilation alike along all axes.
    transposed : bool
    """

    inputs: int
    outputs: int
    kernel: int
    edge: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    transposed: bool = False

    @property
    def padding(self) -> int:
        """Voxels of zeros a side."""
        if self.transposed:
            return (self.kernel - self.stride + 1) // 2
        return self.dilation * (self.kernel - 1) // 2

    @property
    def options(self) -> dict[str, Any]:
        """What the layer's class takes beside channels, weight and bias."""
        out: dict[str, Any] = {"kernel_size": self.kernel, "stride": self.stride, "padding": self.padding}
        if self.dilation > 1:
            out["dilation"] = self.dilation
        if self.groups > 1:
            out["groups"] = self.groups
        if self.transposed and self.kernel % 2:
            out["output_padding"] = self.stride - 1
        return out


def make_layer(layer: Layer) -> Network:
    """Return one layer."""
    stages = _Stages(0)
    stages.convolve("layer", layer.inputs, layer.outputs, layer.options, layer.transposed)
    return stages.network("layer", layer.inputs)


def make_gaussian(radius: int) -> Network:
    """Return one Gaussian of ``2·radius + 1`` taps an axis, as a dense filter: passes are our own affair."""
    weight = {"generator": "gaussian", "sigma": radius / 4}
    stage = {"op": "Conv3d", "name": "smooth", "padding": "same", "padding_mode": "replicate", "weight": weight}
    return Network({"volconv": 1, "name": "gaussian", "stages": [stage]}, {})


def make_meshnet() -> Network:
    """Return MeshNet (https://doi.org/10.1109/IJCNN.2017.7966169) of five channels, one to three classes.

    The weights are those of brainchop's tissue_fast where the folder ``VOLCONV_TEST_DATA`` names has them, else random.
    """
    stages = _Stages(1)
    weights = _meshnet_weights()
    stages.add("Affine", name="scaled", scale=1 / 255)
    for n, dilation in enumerate(_MESHNET_DILATIONS):
        options = {"kernel_size": 3, "padding": dilation, "dilation": dilation}
        stages.convolve(f"model.{2 * n}", 1 if n == 0 else 5, 5, options, weights=weights)
        stages.add("ReLU", name=f"relu{n}")
    stages.convolve("model.18", 5, 3, {"kernel_size": 1}, weights=weights)
    return stages.network("meshnet", 1)


def _meshnet_weights() -> Mapping[str, Array] | None:
    path = Path(os.environ.get("VOLCONV_TEST_DATA", "")) / _MESHNET_FILE
    return open_weights(path) if path.is_file() else None


def make_unet() -> Network:
    """Return a U-Net of 16, 32, 64 and 128 channels, norms folded into its convolutions.

    Two 3³ convolutions a level with ReLU; down by 3³ convolutions of stride 2, up by transposed ones of 2³ and stride
    2; the skips are added.
    """
    widths = (16, 32, 64, 128)
    stages = _Stages(2)
    stages.convolve("enc0a", 1, 16, {"kernel_size": 3, "padding": 1}).relu().convolve_again("enc0b", 16).relu("enc0")
    for n, width in enumerate(widths[1:], 1):
        options = {"kernel_size": 3, "padding": 1, "stride": 2}
        stages.convolve(f"down{n}", widths[n - 1], width, options).relu()
        stages.convolve_again(f"enc{n}a", width).relu().convolve_again(f"enc{n}b", width).relu(f"enc{n}")
    for n, width in reversed(list(enumerate(widths[:-1]))):
        stages.convolve(f"up{n}", widths[n + 1], width, {"kernel_size": 2, "stride": 2}, True)
        stages.add("Add", name=f"skip{n}", inputs=[f"up{n}", f"enc{n}"])
        stages.convolve_again(f"dec{n}a", width).relu().convolve_again(f"dec{n}b", width).relu(f"dec{n}")
    stages.convolve("head", 16, 4, {"kernel_size": 1})
    return stages.network("unet", 1)


def make_volume(channels: int, shape: Triple, kind: str) -> Array:
    """Return the input (C, D, H, W), float32: ``normal`` values, or a ``scan`` of whole numbers from 0 to 255."""
    rng = np.random.default_rng(3)
    if kind == "scan":
        return rng.integers(0, 256, (channels, *shape)).astype(np.float32)
    return rng.standard_normal((channels, *shape), np.float32)


class _Stages:
    """The stages of a spec, as they are added; `relu` and `convolve_again` follow the stage before."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._stages: list[dict[str, Any]] = []
        self._tensors: dict[str, Array] = {}

    def add(self, op: str, **items: Any) -> _Stages:
        self._stages.append({"op": op, **items})
        return self

    def relu(self, name: str | None = None) -> _Stages:
        return self.add("ReLU", name=name or f"{self._stages[-1]['name']}.relu")

    def convolve_again(self, name: str, width: int) -> _Stages:
        return self.convolve(name, width, width, {"kernel_size": 3, "padding": 1})

    def convolve(
        self,
        name: str,
        inputs: int,
        outputs: int,
        options: Mapping[str, Any],
        transposed: bool = False,
        weights: Mapping[str, Array] | None = None,
    ) -> _Stages:
        kernel, groups = (options["kernel_size"],) * 3, options.get("groups", 1)
        shape = (inputs, outputs // groups, *kernel) if transposed else (outputs, inputs // groups, *kernel)
        fan = inputs // groups * prod(kernel) / (options["stride"] ** 3 if transposed else 1)
        weight = self._rng.standard_normal(shape, np.float32) * np.float32(sqrt(2 / fan))
        bias = self._rng.standard_normal(outputs, np.float32) * np.float32(0.1)
        if weights is not None:
            weight, bias = np.asarray(weights[f"{name}.weight"]), np.asarray(weights[f"{name}.bias"])
        op = "ConvTranspose3d" if transposed else "Conv3d"
        self._tensors |= {f"{name}.weight": weight, f"{name}.bias": bias}
        return self.add(op, name=name, out_channels=outputs, **options)

    def network(self, name: str, channels: int) -> Network:
        spec = {"volconv": 1, "name": name, "input": {"channels": channels}, "stages": self._stages}
        return Network(spec, self._tensors)
