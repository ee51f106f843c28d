"""Where a graph is cut, what lies between the parts, and what is computed again."""

from volconv.graph.build import build_graph, make_loader
from volconv.graph.model import INPUT
from volconv.graph.passes import optimise
from volconv.graph.phases import find_levels, has_phases, split_phases
from volconv.ops.base import Wire
from volconv.spec.load import load_spec_mapping

CONV = {"op": "Conv3d", "kernel_size": 3, "padding": 1, "out_channels": 2, "weight": {"init": "default", "seed": 0}}


def build(*stages, outputs=None):
    spec = {"volconv": 1, "stages": list(stages), **({"outputs": outputs} if outputs else {})}
    parsed = load_spec_mapping(spec)
    return optimise(build_graph(parsed, Wire((8, 8, 8), 1), make_loader(parsed)))


def shown(graph):
    """Return of each phase: its stages, the wires it reads, stores and gathers, and its outputs."""
    return [
        ([n.name for n in p.graph.nodes], list(p.graph.stored), list(p.keeps), list(p.gathers), list(p.graph.outputs))
        for p in split_phases(graph)
    ]


def test_an_ordinary_graph_is_one_phase():
    graph = build({**CONV, "name": "a"}, {"op": "ReLU"})
    assert not has_phases(graph)
    (phase,) = split_phases(graph)
    assert (phase.graph.nodes, phase.graph.outputs) == (graph.nodes, graph.outputs)
    assert (phase.keeps, phase.gathers, phase.ends) == ((), (), ())


def test_a_norm_and_its_activation_are_done_again_where_they_are_read():
    graph = build(
        {**CONV, "name": "a"}, {"op": "InstanceNorm3d", "name": "na"}, {"op": "ReLU", "name": "ra"},
        {**CONV, "name": "b"}, {"op": "InstanceNorm3d", "name": "nb"},
        {"op": "Add", "name": "sum", "inputs": ["nb", "ra"]},
    )  # fmt: skip
    assert find_levels(graph) == {INPUT: 0, "a": 0, "ra": 1, "b": 1, "nb": 2, "sum": 2}
    assert shown(graph) == [
        (["a"], [], ["a"], ["a"], []),
        (["ra", "b"], ["a"], ["b"], ["b"], []),
        (["ra", "nb", "sum"], ["a", "b"], [], [], ["sum"]),
    ]


def test_the_volume_is_read_again_and_never_stored():
    graph = build({"op": "InstanceNorm3d", "name": "n"}, {**CONV, "name": "a"}, {"op": "Add", "inputs": ["n", "n"]})
    assert shown(graph) == [([], [], [], [INPUT], []), (["n", "Add"], [], [], [], ["Add"])]


def test_a_pool_leaves_its_voxel_and_nothing_else():
    graph = build({**CONV, "name": "a"}, {"op": "AdaptiveAvgPool3d", "output_size": 1, "name": "p"}, outputs=["p"])
    assert shown(graph) == [(["a"], [], [], ["a"], []), ([], ["p"], [], [], ["p"])]


def test_an_output_in_the_middle_belongs_to_its_own_phase():
    graph = build({**CONV, "name": "a"}, {"op": "InstanceNorm3d", "name": "n"}, {"op": "ReLU"}, outputs=["ReLU", "a"])
    assert [phase[4] for phase in shown(graph)] == [["a"], ["ReLU"]]


def test_a_norm_before_a_convolution_stays_a_stage():
    graph = build({"op": "InstanceNorm3d", "name": "n"}, {**CONV, "name": "a"}, {"op": "BatchNorm3d",
                  "tensors": {"running_mean": [0, 0], "running_var": [1, 1]}, "affine": False, "name": "b"},
                  {"op": "InstanceNorm3d", "name": "m"}, {"op": "Affine", "scale": 2, "name": "f"})  # fmt: skip
    assert [node.name for node in graph.nodes] == ["n", "b", "m", "f"]  # no affine joins a norm of its own statistics
