"""Rows small enough for tests: one of every kind that the table has."""

from functools import partial

from volconv.api.bench.networks import Layer, Network, make_gaussian, make_layer
from volconv.api.bench.rows import Row, Targets

LAYERS = {
    "dense": Layer(16, 16, 3, 12),
    "wide": Layer(32, 48, 3, 9),
    "few": Layer(5, 5, 3, 14, dilation=2),
    "first": Layer(1, 8, 3, 11),
    "strided": Layer(4, 8, 3, 16, stride=2),
    "point": Layer(8, 8, 1, 10),
    "depthwise": Layer(8, 8, 3, 10, groups=8),
    "up2": Layer(8, 4, 2, 6, stride=2, transposed=True),
    "up3": Layer(4, 4, 3, 7, stride=2, transposed=True),
    "up4": Layer(4, 2, 4, 6, stride=2, transposed=True),
}


def make_network():
    """A network with all that the U-Net has: strides, transposed layers, a skip by Add, ReLUs."""
    from volconv.api.bench.networks import _Stages

    stages = _Stages(5)
    stages.convolve("enc", 1, 4, {"kernel_size": 3, "padding": 1}).relu("skip")
    stages.convolve("down", 4, 6, {"kernel_size": 3, "padding": 1, "stride": 2}).relu()
    stages.convolve("up", 6, 4, {"kernel_size": 2, "stride": 2}, True)
    stages.add("Add", name="sum", inputs=["up", "skip"])
    stages.convolve_again("dec", 4).relu().convolve("head", 4, 2, {"kernel_size": 1})
    return stages.network("tiny", 1)


def make_scaled():
    """A network that starts by a scale, as MeshNet does."""
    stages = {"op": "Affine", "name": "scaled", "scale": 0.5}, {"op": "ReLU", "name": "out"}
    return Network({"volconv": 1, "name": "scaled", "stages": list(stages)}, {})


ROWS = {
    **{
        name: Row(name, name, partial(make_layer, layer), layer.inputs, layer.edge, "layer", Targets(1.5, peak=0.5))
        for name, layer in LAYERS.items()
    },
    "gaussian": Row("gaussian", "Gaussian", partial(make_gaussian, 2), 1, 12, "filter", Targets(2, 3, copy=0.5)),
    "network": Row("network", "whole", make_network, 1, 16, "network", Targets(2, peak=0.5)),
    "scaled": Row("scaled", "scaled", make_scaled, 1, 8, "network", Targets(), "scan"),
}
