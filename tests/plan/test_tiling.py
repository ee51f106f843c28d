from itertools import pairwise

import pytest

from volconv.errors import BudgetError, ResumeError
from volconv.graph.model import INPUT, Graph, Node
from volconv.ops.base import Wire
from volconv.ops.conv3d import Conv3d
from volconv.plan.buffers import choose_kernels, lay_out
from volconv.plan.cost import Traffic
from volconv.plan.make import make_plan
from volconv.plan.memory import place_buffers
from volconv.plan.tiling import even_edges, fixed_edges, format_bytes

MIB = 2**20


def chain(shape=(200, 200, 200), channels=(1, 16, 1)):
    import numpy as np

    wire, source, nodes = Wire(shape, channels[0]), INPUT, []
    first = wire
    for n, (a, b) in enumerate(pairwise(channels)):
        op = Conv3d(a, b, (3, 3, 3), pad_low=(1, 1, 1), pad_high=(1, 1, 1))
        wire = op.out_wire((wire,))
        tensors = {name: np.zeros(size, "f4") for name, size in op.tensor_shapes().items()}
        nodes.append(Node(f"c{n}", "Conv3d", op, (source,), wire, tensors))
        source = f"c{n}"
    return Graph(first, tuple(nodes), (source,))


def plan(graph, budget, **more):
    return make_plan(graph, budget=budget, traffic=Traffic(baseline_bytes=100 * MIB), threads=2, **more)


@pytest.mark.parametrize("budget", [110, 150, 250, 400, 4000])
def test_the_predicted_peak_fits_the_budget(budget):
    made = plan(chain(), budget * MIB)
    assert made.peak_bytes <= budget * MIB
    assert made.arena_bytes <= (budget - 100) * MIB


def test_a_budget_that_cannot_do_is_refused_with_one_that_can():
    graph = chain()
    with pytest.raises(BudgetError, match=r"--memory (\d+)MiB") as caught:
        plan(graph, 99 * MIB)
    needed = int(str(caught.value).split("--memory ")[1].split("MiB")[0])
    assert plan(graph, needed * MIB).peak_bytes <= needed * MIB
    assert caught.value.exit_code == 4


def test_given_tiles_are_kept_or_refused():
    made = plan(chain((20, 30, 40)), 4000 * MIB, tile=(8, 30, 33))
    assert made.edges == ((0, 8, 16, 20), (0, 30), (0, 33, 40))
    assert made.tile_shape == (8, 30, 33)
    with pytest.raises(BudgetError, match="tiles of 200,200,200"):
        plan(chain(), 120 * MIB, tile=(200, 200, 200))


def test_the_grid_of_an_earlier_plan_is_used_again():
    graph = chain()
    first = plan(graph, 150 * MIB)
    again = plan(graph, 4000 * MIB, tile=(8, 8, 8), grids=first.grids)
    assert again.grids == first.grids == (first.edges,)
    whole = plan(graph, 4000 * MIB, tile="whole")
    with pytest.raises(BudgetError, match="the tiles that the job was begun with need"):
        plan(graph, 150 * MIB, grids=whole.grids)


@pytest.mark.parametrize("edges", [((0, 7), (0, 200), (0, 200)), ((0, 200),) * 2 + ((0, 9, 9, 200),)])
def test_a_grid_of_another_graph_is_refused(edges):
    with pytest.raises(ResumeError, match="tile borders"):
        plan(chain(), 4000 * MIB, grids=[edges])


def test_tiles_cover_the_volume_once():
    made = plan(chain((17, 23, 29)), 101 * MIB + MIB // 2)
    seen = set()
    for tile in made.tiles:
        region = tile.writes["c1"]
        for d in range(region.start[0], region.stop[0]):
            for h in range(region.start[1], region.stop[1]):
                for w in range(region.start[2], region.stop[2]):
                    assert (d, h, w) not in seen
                    seen.add((d, h, w))
    assert len(seen) == 17 * 23 * 29


def test_the_same_input_gives_the_same_plan():
    assert plan(chain(), 300 * MIB).to_json() == plan(chain(), 300 * MIB).to_json()


@pytest.mark.parametrize("overlap", [False, True])
def test_buffers_that_live_together_lie_apart(overlap):
    graph = chain((40, 40, 40), (1, 4, 16, 32, 3, 1))
    layouts = lay_out(graph, choose_kernels(graph))
    shapes = dict.fromkeys(layouts.buffers, (10, 10, 10))
    places = place_buffers(layouts, shapes, overlap)
    offsets, total = places.offsets, places.elements
    sizes = {name: 1000 * buffer.channels for name, buffer in layouts.buffers.items()}
    for step in layouts.steps:
        for source in step.sources:
            if step.target:
                a, b = offsets[source], offsets[step.target]
                assert a + sizes[source] <= b or b + sizes[step.target] <= a
    assert total < sum(sizes.values()) + sum(places.slots.values()) + 10000
    assert all(offsets[name] + places.slots.get(name, 0) + sizes[name] <= total for name in offsets)
    assert bool(places.slots) == overlap
    for name, step in places.slots.items():
        assert step >= sizes[name]
        low, high = offsets[name], offsets[name] + step + sizes[name]
        assert all(high <= offsets[n] or offsets[n] + sizes[n] <= low for n in offsets if n != name)


def test_tiles_are_read_and_written_beside_others_where_memory_allows():
    graph = chain()

    def plan_beside(budget, tile=None):
        return plan(graph, budget, overlap=True, tile=tile)

    roomy, tight = plan_beside(300 * MIB), plan(graph, 300 * MIB)
    assert roomy.count > 1
    assert roomy.slots
    assert not tight.slots
    for budget in range(105 * MIB, 300 * MIB, 20 * MIB):
        assert plan_beside(budget).peak_bytes <= budget
    cut = plan(graph, 300 * MIB, tile=(20, 20, 20))
    assert not plan_beside(cut.peak_bytes, (20, 20, 20)).slots, "there is room for one slot only"
    beside = plan_beside(300 * MIB, (20, 20, 20))
    assert beside.slots
    assert beside.edges == cut.edges
    assert plan_beside(beside.peak_bytes, (20, 20, 20)).slots
    whole = chain((6, 6, 6), (1, 1))
    assert not plan(whole, 300 * MIB, overlap=True).slots, "one tile has nothing beside it"
    assert plan(whole, 300 * MIB, overlap=True, batch=2).slots


def test_edges():
    assert fixed_edges(10, 4) == (0, 4, 8, 10)
    assert fixed_edges(8, 4) == (0, 4, 8)
    assert even_edges(10, 3) == (0, 3, 6, 10)


def test_sizes_read_as_people_write_them():
    assert format_bytes(999) == "999B"
    assert format_bytes(3 * MIB) == "3MiB"
    assert format_bytes(1536 * MIB) == "1.50GiB"


def test_the_report_names_every_stage():
    text = str(plan(chain(), 400 * MIB))
    assert "c0" in text
    assert "kernel_size=3" in text
    assert "tiles" in text
    document = plan(chain(), 400 * MIB).to_json()
    assert [stage["name"] for stage in document["stages"]] == ["c0", "c1"]
    grid = document["tiles"]["grid"]
    assert document["stages"][1]["halo"] == [min(n - 1, 2) for n in grid]  # of two cells each has one neighbour
    assert document["stages"][0]["macs"] == 200**3 * 16 * 27
