"""What a tile leaves in the job folder: read again bit for bit, damage told by its checksum."""

import numpy as np
import pytest

from volconv.graph.build import build_graph, make_loader
from volconv.graph.passes import optimise
from volconv.ops.base import Wire
from volconv.plan.cost import Traffic
from volconv.plan.make import make_plan
from volconv.run import records as module
from volconv.run.records import Records, list_parts, recorded_bytes, volumes
from volconv.spec.load import load_spec_mapping

PLAIN = [{"op": "VectorNorm", "name": "a"}, {"op": "ReLU", "name": "b"}]
PHASES = [
    {"op": "VectorNorm", "name": "a"}, {"op": "InstanceNorm3d", "name": "na"}, {"op": "VectorNorm", "name": "b"},
    {"op": "AdaptiveMaxPool3d", "name": "p", "output_size": 1}, {"op": "Add", "inputs": ["p", "p"]},
]  # fmt: skip


def plan_of(stages, tile=(2, 3, 4), batch=1, **more):
    spec = load_spec_mapping({"volconv": 1, "input": {"channels": 2}, "stages": stages})
    graph = optimise(build_graph(spec, Wire((4, 5, 6), 2), make_loader(spec)))
    return make_plan(graph, budget=2**34, traffic=Traffic(), spill=True, tile=tile, batch=batch, **more)


def records_of(plan, folder, volume=0, number=0):
    leg = list(volumes(plan))[volume][number]
    return Records(folder, leg, list_parts(leg.plan))


def test_places_of_tiles_do_not_overlap():
    (part,) = list_parts(plan_of(PLAIN))
    assert (part.kind, part.name) == ("result", "b")
    assert part.volume_bytes == sum(part.sizes) == 4 * 5 * 6 * 4
    assert all(a + n == b for a, n, b in zip(part.offsets, part.sizes, part.offsets[1:], strict=False))


def test_phases_keep_wires_and_statistics():
    plan = plan_of(PHASES)
    kinds = [[(part.kind, part.name) for part in list_parts(phase)] for phase in plan.phases]
    assert ("sums", "a") in kinds[0]
    assert ("wire", "a") in kinds[0]
    assert kinds[-1] == [("result", plan.graph.outputs[0])]
    assert recorded_bytes(plan) > 4 * 5 * 6 * 4


@pytest.mark.parametrize("batch", [1, 3])
def test_volumes_are_all_phases_of_one_or_one_leg_of_all(batch):
    assert [len(legs) for legs in volumes(plan_of(PLAIN, batch=batch))] == [1]
    assert [len(legs) for legs in volumes(plan_of(PHASES, batch=batch))] == [3] * batch


@pytest.mark.parametrize("piece", [8, 100, 1 << 20])
def test_what_was_written_is_read_again(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(module, "PIECE_BYTES", piece)
    plan = plan_of(PLAIN, batch=2)
    records, random = records_of(plan, tmp_path), np.random.default_rng(0)
    written = {}
    records.reserve(0)
    for batch in (1, 0):
        for tile in plan.tiles:
            whole = random.standard_normal((1, 4, 5, 6)).astype("f4")
            values = whole[:, *tile.writes["b"].slices()]  # of any strides
            written[batch, tile.index] = values, records.write(0, tile.index, batch, values)
    assert records.path(0).stat().st_mode & 0o777 == 0o600
    assert records.path(0).stat().st_size == 2 * 4 * 5 * 6 * 4
    records.sync()
    records.close()
    for (batch, tile), (values, checksum) in written.items():
        assert records.checksum(0, tile, batch) == checksum
        found = np.empty((1, 4, 5, 6), "f4")[:, : values.shape[1], : values.shape[2], : values.shape[3]]
        records.read(0, tile, batch, found)
        assert found.tobytes() == values.tobytes()
    records.close()


def test_damage_shows(tmp_path):
    records = records_of(plan_of(PLAIN), tmp_path)
    values = np.arange(24, dtype="f4").reshape(1, 2, 3, 4)
    checksum = records.write(0, 0, 0, values)
    with records.path(0).open("r+b") as file:
        file.seek(13)
        file.write(b"!")
    assert records.checksum(0, 0, 0) not in (checksum, None)
    assert records.checksum(0, 1, 0) is None  # the file ends before
    records.drop(0)
    records.close()
    assert records.checksum(0, 0, 0) is None
    assert not list(tmp_path.iterdir())
