"""Stages of several inputs: what they may read, and where the result lies when paths meet."""

import numpy as np
import pytest

from volconv.api.pipeline import load
from volconv.errors import ShapeError, SpecError
from volconv.graph.build import build_graph, make_loader
from volconv.graph.passes import optimise
from volconv.graph.places import list_disagreements
from volconv.ops.base import Wire
from volconv.spec.load import load_spec_mapping

RANDOM = {"weight": {"init": "default", "seed": 0}, "bias": False, "out_channels": 1}


def conv(name, kernel, stride=1, padding=0, **more):
    return {"op": "Conv3d", "name": name, "kernel_size": kernel, "stride": stride, "padding": padding, **RANDOM, **more}


def up(name, kernel, stride, padding=0, **more):
    return {**conv(name, kernel, stride, padding, **more), "op": "ConvTranspose3d"}


def graph_of(stages, shape=(16, 16, 16)):
    spec = load_spec_mapping({"volconv": 1, "stages": stages})
    return build_graph(spec, Wire(shape, 1), make_loader(spec))


def test_paths_that_agree_say_nothing():
    stages = [conv("down", 2, 2), up("up", 2, 2), {"op": "Add", "name": "sum", "inputs": ["up", "input"]}]
    graph = graph_of(stages)
    assert list(list_disagreements(graph)) == []
    assert graph.node("sum").wire.voxel_map.is_identity


def test_less_than_a_voxel_is_told_and_does_not_add_up():
    """Kernel 3, stride 2, padding 1 down and kernel 2, stride 2 up: half a voxel off at every level."""
    stages = [
        conv("skip", 3, 1, 1), conv("one", 3, 2, 1), conv("two", 3, 2, 1), up("up1", 2, 2),
        {"op": "Add", "name": "sum1", "inputs": ["up1", "one"]}, conv("mix", 1), up("up0", 2, 2),
        {"op": "Add", "name": "sum0", "inputs": ["up0", "skip"]},
    ]  # fmt: skip
    graph = graph_of(stages)
    assert graph.node("sum1").wire.voxel_map == graph.node("one").wire.voxel_map
    assert graph.node("sum0").wire.voxel_map.is_identity
    first, second = list_disagreements(graph)
    assert first == (
        "stage 'sum1': 'one' (input > one) starts at voxel (0, 0, 0) of the volume in steps of (2, 2, 2) and 'up1' "
        "(input > one > two > up1) starts at voxel (-1, -1, -1) of the volume in steps of (2, 2, 2), 0.5 voxels apart; "
        "the result lies where 'one' does"
    )
    assert "'up0' (input > one > up0)" in second
    assert list(list_disagreements(optimise(graph))) == [first, second]


def test_a_voxel_or_more_is_refused_with_both_paths():
    stages = [conv("down", 1, 3), up("up", 3, 3), {"op": "Add", "name": "sum", "inputs": ["up", "input"]}]
    with pytest.raises(ShapeError) as caught:
        graph_of(stages, (18, 18, 18))
    assert caught.value.message == (
        "stage 'sum' (Add): 'input' starts at voxel (0, 0, 0) of the volume and 'up' (input > down > up) starts at "
        "voxel (-1, -1, -1) of the volume: up to 1 voxels apart, expected paths that agree on where a voxel lies"
    )
    assert caught.value.where == "stages[2]"


def test_equal_sizes_of_unlike_grids_are_refused():
    stages = [conv("half", 2, 2), conv("crop", 9, input="input"), {"op": "Add", "inputs": ["half", "crop"]}]
    with pytest.raises(ShapeError, match=r"\(input > half\) starts .* steps of \(2, 2, 2\) and 'crop'.* 1.75 voxels"):
        graph_of(stages)


def test_unlike_sizes_are_refused_with_both_names():
    stages = [conv("down", 2, 2), up("up", 2, 2), {"op": "Add", "inputs": ["up", "input"]}]
    with pytest.raises(ShapeError, match=r"\(input > down > up\) of 16 x 16 x 16 voxels and 'input' of 17 x 16"):
        graph_of(stages, (17, 16, 16))


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"op": "Add"}, r"found 1 input, expected at least 2, as inputs: \[A, B\]"),
        ({"op": "Add", "inputs": ["input"]}, "found 1 input, expected at least 2"),
        ({"op": "ReLU", "inputs": ["input", "input"]}, "found 2 inputs, expected one"),
        ({"op": "Add", "inputs": ["input", "input"], "alpha": 2}, "unknown key 'alpha'"),
    ],
)
def test_how_many_stages_are_read(stage, message):
    with pytest.raises(SpecError, match=message):
        graph_of([stage])


def test_channels_have_to_agree():
    two, three = conv("two", 1, out_channels=2), conv("three", 1, input="input", out_channels=3)
    stages = [two, three, {"op": "Add", "inputs": ["two", "three"]}]
    with pytest.raises(ShapeError, match="inputs of 2, 3 channels, expected as many in each, or 1"):
        graph_of(stages)


def test_a_stage_may_read_one_several_times():
    x = np.arange(27.0).reshape(1, 3, 3, 3)
    pipe = load({"volconv": 1, "stages": [{"op": "Identity"}, {"op": "Add", "inputs": ["Identity", "input", "input"]}]})
    np.testing.assert_array_equal(pipe(x), 3 * x)
