"""Plans in phases: where wires between them lie, what it takes, what is said of it."""

import json

import pytest

from volconv.errors import BudgetError
from volconv.graph.build import build_graph, make_loader
from volconv.graph.passes import optimise
from volconv.ops.base import Wire
from volconv.plan.cost import BASELINE_BYTES, Traffic
from volconv.plan.make import make_plan
from volconv.spec.load import load_spec_mapping

MIB = 2**20


def unet(side=64):
    """A U-Net of two levels with instance norms: its first stage is read by the last phase."""

    def conv(name, channels, **more):
        return {"op": "Conv3d", "name": name, "kernel_size": 3, "padding": 1, "out_channels": channels,
                "weight": {"init": "default", "seed": 0}, **more}  # fmt: skip

    stages = [
        conv("a", 16), {"op": "InstanceNorm3d", "name": "na"}, {"op": "ReLU", "name": "ra"},
        conv("b", 32, stride=2), {"op": "InstanceNorm3d", "name": "nb"}, {"op": "ReLU", "name": "rb"},
        {"op": "ConvTranspose3d", "name": "up", "kernel_size": 2, "stride": 2, "out_channels": 16,
         "weight": {"init": "default", "seed": 1}},
        {"op": "Add", "name": "skip", "inputs": ["up", "ra"]}, {"op": "InstanceNorm3d", "name": "nc"}, conv("out", 1),
    ]  # fmt: skip
    spec = load_spec_mapping({"volconv": 1, "stages": stages})
    return optimise(build_graph(spec, Wire((side,) * 3, 1), make_loader(spec)))


def plan(budget, spill=True, **more):
    return make_plan(unet(), budget=budget, traffic=Traffic(), spill=spill, **more)


def test_wires_lie_in_memory_where_they_fit():
    found = plan(2**31)
    assert [(s.wire, s.born, s.last) for s in found.stores] == [("a", 0, 2), ("b", 1, 2), ("skip", 2, 3)]
    assert all(s.offset is None for s in found.stores)
    assert found.scratch_bytes == 0
    assert [phase.graph.anchor for phase in found.phases] == ["a", "b", "skip", "out"]
    held = sum(s.nbytes for s in found.stores)
    assert BASELINE_BYTES + held < found.peak_bytes == max(phase.peak_bytes for phase in found.phases)


def test_wires_go_to_disk_one_by_one():
    need = sum(s.nbytes for s in plan(2**31).stores)
    on_disk = []
    for budget in (2**31, BASELINE_BYTES + 60 * MIB, BASELINE_BYTES + 20 * MIB, BASELINE_BYTES + 3 * MIB):
        found = plan(budget)
        assert found.peak_bytes <= budget
        spilled = [s for s in found.stores if s.offset is not None]
        assert found.scratch_bytes == max((s.offset + s.nbytes for s in spilled), default=0) <= need
        on_disk.append(sum(s.nbytes for s in spilled))
    assert on_disk == sorted(on_disk)
    assert on_disk[0] == 0 < on_disk[1] < on_disk[-1] == need


def test_what_does_not_fit_is_said_with_what_would():
    with pytest.raises(BudgetError, match="give --memory") as caught:
        plan(BASELINE_BYTES)
    assert plan(caught.value.needed).peak_bytes <= caught.value.needed
    with pytest.raises(BudgetError):
        plan(BASELINE_BYTES + 20 * MIB, spill=False)  # arrays have no scratch folder


def test_tiles_of_all_phases_count():
    found = plan(2**31, tile=(32, 64, 64), batch=2)
    assert [phase.count for phase in found.phases] == [2, 1, 2, 2]
    assert found.count == 7 == len(list(found.tiles))
    assert found.voxels == 3 * 64**3 + 32**3
    assert plan(2**31, tile="whole").count == 4


def test_the_document_shows_the_phases():
    document = json.loads(json.dumps(plan(2**31).to_json()))
    assert [phase["stages"] for phase in document["phases"]] == [
        ["a"], ["ra", "b"], ["ra", "rb", "up", "skip"], ["nc", "out"],
    ]  # fmt: skip
    first = document["phases"][0]
    assert first["stores"] == [{"stage": "a", "bytes": 16 * 64**3 * 4, "where": "memory"}]
    assert first["statistics"] == ["a"]
    assert {stage["name"] for stage in document["stages"]} == {"a", "ra", "b", "rb", "up", "skip", "nc", "out"}
    text = str(plan(2**31))
    assert "phase 1  tiles " in text
    assert "a to memory (16MiB); statistics of a" in text
    assert "to scratch" in str(plan(BASELINE_BYTES + 20 * MIB))


def test_grids_of_an_earlier_plan_are_used_again():
    first = plan(BASELINE_BYTES + 20 * MIB)
    again = plan(2**31, grids=first.grids, tile=(8, 8, 8))
    assert again.grids == first.grids != plan(2**31, tile=(8, 8, 8)).grids
    assert [phase.edges for phase in again.phases] == list(first.grids)
