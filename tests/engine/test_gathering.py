"""Statistics gathered box by box become norms and pools."""

import numpy as np
import pytest

from volconv.engine.ends import view_array
from volconv.engine.gathering import Gathered, gathering_specs
from volconv.graph.model import Node
from volconv.ops.base import Wire
from volconv.ops.batch_norm import BatchNorm
from volconv.ops.global_pool import GlobalPool
from volconv.ops.group_norm import GroupNorm
from volconv.region import Region

WIRE = Wire((4, 5, 6), 4)
NORM = Node("n", "GroupNorm", GroupNorm(2, 4, 0.5, weight=False, bias=False), ("x",), WIRE)
MEAN, MAX = (Node(k, "Pool", GlobalPool(k), ("x",), GlobalPool(k).out_wire((WIRE,))) for k in ("average", "max"))


def gather(nodes, values):
    found = Gathered(WIRE, nodes)
    for part in reversed(list(Region.whole(WIRE.shape).split((2, 3, 4)))):
        found.add(view_array(values), part)
    return found


def test_a_norm_gets_the_statistics_of_its_groups():
    values = np.random.default_rng(0).standard_normal((4, 4, 5, 6)).astype("f4") * 3 + 1
    node = gather([NORM], values).settle(NORM)
    assert node.op == BatchNorm(4, 0.5, weight=False, bias=False)
    groups = values.astype("f8").reshape(2, -1)
    for name, expected in (("running_mean", groups.mean(axis=1)), ("running_var", groups.var(axis=1))):
        np.testing.assert_allclose(node.tensors[name], np.repeat(expected, 2), rtol=1e-13)


def test_pools_and_norms_share_what_they_can():
    values = np.random.default_rng(1).standard_normal((4, 4, 5, 6)).astype("f4")
    found = gather([NORM, MEAN, MAX], values)
    np.testing.assert_array_equal(found.pool(MAX), values.max(axis=(1, 2, 3)))
    np.testing.assert_array_equal(found.pool(MEAN), values.mean(axis=(1, 2, 3), dtype="f8").astype("f4"))


@pytest.mark.parametrize(("node", "kernel"), [(NORM, "exact_sums.add"), (MEAN, "exact_sums.add"), (MAX, "maxima.fold")])
def test_kernels_are_known_beforehand(node, kernel):
    assert [spec.name for spec in gathering_specs([node])] == [kernel]


@pytest.mark.parametrize("nodes", [[NORM], [MAX], [NORM, MEAN, MAX]])
def test_states_of_parts_give_the_whole(nodes):
    values = np.random.default_rng(2).standard_normal((4, 4, 5, 6)).astype("f4")
    whole, total = gather(nodes, values), None
    part = gather(nodes, values)
    for region in Region.whole(WIRE.shape).split((3, 2, 4)):
        part.clear()
        part.add(view_array(values), region)
        total = total or part.twin()
        total.merge(part.state())
    for node in nodes:
        if node is NORM:
            for name, found in total.settle(node).tensors.items():
                assert found.tobytes() == whole.settle(node).tensors[name].tobytes()
        else:
            assert total.pool(node).tobytes() == whole.pool(node).tobytes()
