"""The networks that are timed: shapes, weights, and that they are the same every time."""

import numpy as np
import pytest

from volconv.api.bench.networks import Layer, make_layer, make_meshnet, make_unet, make_volume
from volconv.api.bench.rows import ROWS


@pytest.mark.parametrize(
    ("layer", "edge"),
    [
        (Layer(2, 3, 3, 12), 12),
        (Layer(2, 3, 3, 12, dilation=4), 12),
        (Layer(2, 4, 3, 12, stride=2), 6),
        (Layer(2, 2, 1, 5), 5),
        (Layer(2, 2, 2, 6, stride=2, transposed=True), 12),
        (Layer(2, 2, 3, 6, stride=2, transposed=True), 12),
        (Layer(2, 2, 4, 6, stride=2, transposed=True), 12),
    ],
)
def test_sizes_of_layers(layer, edge):
    graph = make_layer(layer).build((layer.edge,) * 3, layer.inputs)
    assert graph.wire(graph.outputs[0]).shape == (edge,) * 3
    assert graph.wire(graph.outputs[0]).channels == layer.outputs


def test_the_unet_keeps_the_size():
    graph = make_unet().build((32, 32, 32), 1)
    assert graph.wire(graph.outputs[0]).shape == (32, 32, 32)
    assert max(node.wire.channels for node in graph.nodes) == 128
    assert sum(len(node.inputs) > 1 for node in graph.nodes) == 3


def test_meshnet_without_and_with_trained_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("VOLCONV_TEST_DATA", str(tmp_path))
    random = make_meshnet().build((8, 8, 8), 1)
    assert [node.op.dilation[0] for node in random.nodes if node.op_name == "Conv3d"] == [1, 2, 4, 8, 16, 8, 4, 2, 1, 1]
    tensors = {f"{n.name}.{t}": np.ones_like(v) for n in random.nodes for t, v in n.tensors.items()}
    (tmp_path / "nets" / "brainchop_tissue_fast").mkdir(parents=True)
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file(tensors, tmp_path / "nets" / "brainchop_tissue_fast" / "model.pth")
    trained = make_meshnet().build((8, 8, 8), 1)
    assert all((v == 1).all() for node in trained.nodes for v in node.tensors.values())


def test_networks_and_inputs_are_the_same_every_time():
    first, again = make_unet(), make_unet()
    assert all(np.array_equal(first.tensors[name], again.tensors[name]) for name in first.tensors)
    for kind in ("normal", "scan"):
        assert np.array_equal(make_volume(2, (3, 4, 5), kind), make_volume(2, (3, 4, 5), kind))
    scan = make_volume(1, (8, 8, 8), "scan")
    assert (scan == np.round(scan)).all()
    assert scan.min() >= 0
    assert scan.max() <= 255


def test_rows_have_names_of_their_own():
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert len({row.title for row in ROWS}) == len(ROWS)
