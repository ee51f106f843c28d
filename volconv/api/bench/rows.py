"""What is timed, in the order of the table: the layers, filters and networks, and what is wanted of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ...geometry import Triple
from .networks import Layer, Network, make_gaussian, make_layer, make_meshnet, make_unet


@dataclass(frozen=True)
class Targets:
    """Ratios to reach, None where none is set.

    Attributes
    ----------
    rival : float or None
        To the best rival.
    dense : float or None
        To the best rival that computes a separable filter as a dense one.
    peak : float or None
        To the arithmetic peak.
    copy : float or None
        To the rate of a copy.
    """

    rival: float | None = None
    dense: float | None = None
    peak: float | None = None
    copy: float | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    name : str
        As on the command line.
    title : str
        As in the table.
    make : callable
        Makes the network.
    channels, edge : int
        Of the input, a cube.
    kind : {"layer", "filter", "network"}
        Layers and filters are timed from their own layout to their own layout; networks from array to array.
    targets : Targets
    volume : {"normal", "scan"}
        What the input holds.
    """

    name: str
    title: str
    make: Callable[[], Network]
    channels: int
    edge: int
    kind: str = "layer"
    targets: Targets = Targets()
    volume: str = "normal"

    @property
    def shape(self) -> Triple:
        """D, H, W of the input."""
        return (self.edge, self.edge, self.edge)

    @property
    def is_memory_bound(self) -> bool:
        """Whether the copy rate is the measure, and not arithmetic: where the targets say so or name no peak."""
        return self.targets.peak is None


def _layer(name: str, layer: Layer, targets: Targets) -> Row:
    extra = [f"stride {layer.stride}"] if layer.stride > 1 else []
    extra += [f"dilation {layer.dilation}"] if layer.dilation > 1 else []
    what = f"depthwise {layer.outputs}" if layer.groups > 1 else f"{layer.inputs}→{layer.outputs}"
    words = ["transposed"] * layer.transposed + [what, f"{layer.kernel}³", *extra, f"{layer.edge}³"]
    return Row(name, " ".join(words), partial(make_layer, layer), layer.inputs, layer.edge, "layer", targets)


def _gaussian(name: str, radius: int, edge: int, targets: Targets) -> Row:
    title = f"Gaussian {2 * radius + 1}³ {edge}³"
    return Row(name, title, partial(make_gaussian, radius), 1, edge, "filter", targets)


ROWS: tuple[Row, ...] = (
    _layer("32-32", Layer(32, 32, 3, 96), Targets(1.85, peak=1.75)),
    _layer("64-64", Layer(64, 64, 3, 48), Targets(1.9, peak=1.9)),
    _layer("128-128", Layer(128, 128, 3, 24), Targets(1.9, peak=1.9)),
    _layer("16-16", Layer(16, 16, 3, 128), Targets(1.3, peak=1.1)),
    _layer("8-8", Layer(8, 8, 3, 128), Targets(1.9, peak=0.8)),
    _layer("5-5-dilated", Layer(5, 5, 3, 128, dilation=4), Targets(3.0, peak=0.7)),
    _layer("21-21-dilated", Layer(21, 21, 3, 96, dilation=8), Targets(1.2, peak=0.8)),
    _layer("1-32", Layer(1, 32, 3, 96), Targets(1.3)),
    _layer("32-64-strided", Layer(32, 64, 3, 96, stride=2), Targets(1.0, peak=0.9)),
    _layer("32-32-1", Layer(32, 32, 1, 96), Targets(1.2, copy=0.7)),
    _layer("depthwise", Layer(32, 32, 3, 96, groups=32), Targets(1.4, copy=0.7)),
    _gaussian("gaussian-9", 4, 128, Targets(8.0, dense=40.0, copy=0.5)),
    _gaussian("gaussian-21", 10, 128, Targets(12.0, dense=150.0, copy=0.5)),
    _layer("transposed-2", Layer(32, 16, 2, 64, stride=2, transposed=True), Targets(1.5)),
    _layer("transposed-3", Layer(32, 32, 3, 64, stride=2, transposed=True), Targets(1.15, peak=0.8)),
    _layer("transposed-4", Layer(64, 32, 4, 48, stride=2, transposed=True), Targets(1.05, peak=0.88)),
    Row("meshnet", "whole MeshNet 256³", make_meshnet, 1, 256, "network", Targets(3.0, peak=0.7), "scan"),
    Row("unet", "whole U-Net 16–32–64–128 128³", make_unet, 1, 128, "network", Targets(1.5, peak=1.2)),
)
