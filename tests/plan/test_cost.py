"""What a plan counts as memory is what the engine asks for."""

import numpy as np
import pytest

from volconv.engine.numba_engine import NumbaEngine
from volconv.graph.build import build_graph, make_loader
from volconv.graph.passes import optimise
from volconv.ops.base import Wire
from volconv.plan.cost import Traffic, weight_bytes, working_bytes
from volconv.plan.make import make_plan
from volconv.spec.load import load_spec_mapping

CONV = {"op": "Conv3d", "out_channels": 16, "kernel_size": 3, "padding": 1, "weight": {"init": "default", "seed": 0}}
STAGES = {
    "winograd": [CONV, CONV],
    "few": [{**CONV, "out_channels": 4}],
    "norm over channels": [CONV, {"op": "LayerNorm", "normalized_shape": 16, "elementwise_affine": False}],
    "linear": [CONV, {"op": "Upsample", "scale_factor": 2, "mode": "trilinear"}],
    "nearest": [CONV, {"op": "Upsample", "scale_factor": 2}],
    "pooled": [CONV, {"op": "MaxPool3d", "kernel_size": 2}],
    "transposed": [CONV, {**CONV, "op": "ConvTranspose3d", "kernel_size": 2, "stride": 2, "padding": 0}],
    "classes": [CONV, {"op": "Softmax"}, {"op": "ArgMax"}],
    "swept": [{"op": "Conv3d", "padding": "same", "weight": {"generator": "gaussian", "sigma": 1.5}}],
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", STAGES)
def test_working_memory_is_what_kernels_ask_for(name, dtype, threads):
    spec = load_spec_mapping({"volconv": 1, "name": name, "dtype": dtype, "stages": STAGES[name]})
    loader = make_loader(spec, None)
    graph = optimise(build_graph(spec, Wire((8, 8, 16), 1, dtype), loader), "auto")
    plan = make_plan(graph, budget=2**33, traffic=Traffic(), threads=threads)
    engine = NumbaEngine(threads)
    engine.bind(plan)
    itemsize = np.dtype(dtype).itemsize
    for node in plan.graph.nodes:
        asked = engine.bound[node.name].scratch_elements(threads) * itemsize
        assert working_bytes(node, plan.kernels.get(node.name), threads) == asked, node.op_name
    assert weight_bytes(plan.graph, plan.kernels) >= sum(
        node.nbytes for node in engine.bound.values() if node.nbytes > 4096
    )
