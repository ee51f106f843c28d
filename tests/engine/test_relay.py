"""What lies between phases is there while it is read and no longer; the scratch file goes with the run."""

import numpy as np
import pytest

from volconv.engine.relay import Relay
from volconv.engine.stores import FileStore, MemoryStore
from volconv.errors import BudgetError
from volconv.graph.build import build_graph, make_loader
from volconv.graph.passes import optimise
from volconv.ops.base import Wire
from volconv.plan.cost import Traffic
from volconv.plan.make import make_plan
from volconv.spec.load import load_spec_mapping

STAGES = [
    {"op": "VectorNorm", "name": "a"}, {"op": "InstanceNorm3d", "name": "na"}, {"op": "VectorNorm", "name": "b"},
    {"op": "AdaptiveMaxPool3d", "name": "p", "output_size": 1}, {"op": "Add", "inputs": ["p", "p"]},
]  # fmt: skip


@pytest.fixture
def plan():
    spec = load_spec_mapping({"volconv": 1, "input": {"channels": 2}, "stages": STAGES})
    graph = optimise(build_graph(spec, Wire((4, 5, 6), 2), make_loader(spec)))
    return make_plan(graph, budget=2**34, traffic=Traffic(), spill=True)


def run(relay, plan, values):
    """Run every phase and yield what is stored while it does, and what it wrote."""

    def read(region, out):
        out[...] = values[(slice(None), *region.slices())]

    for number, phase in enumerate(plan.phases):
        results = {}
        with relay.phase(number) as engine:
            held = {name: type(store) for name, store in engine.stores.items()}
            for tile in phase.tiles:
                engine.run_tile(tile, read, lambda name, region, out: results.update({name: out.copy()}))  # noqa: B023, ARG005
        yield held, results, set(relay._stores)


def test_stores_live_from_the_phase_that_fills_them_to_the_last_that_reads_them(plan):
    values = np.random.default_rng(0).standard_normal((2, 4, 5, 6)).astype("f4")
    relay = Relay(1)
    relay.prepare(plan)
    for _ in range(2):  # once a volume
        (first, _, after_first), (second, _, after_second), (third, results, after_third) = run(relay, plan, values)
        assert (first, after_first) == ({"a": MemoryStore}, {"a"})
        assert (second, after_second) == ({"a": MemoryStore}, {"p"})  # b is gathered, not stored
        assert (third, after_third) == ({"p": MemoryStore}, set())
        length = np.sqrt((values.astype("f8") ** 2).sum(axis=0))
        largest = np.abs((length - length.mean()) / np.sqrt(length.var() + 1e-5)).max()
        np.testing.assert_allclose(results["Add"].item(), 2 * largest, rtol=1e-5)
    relay.close()


def test_an_error_drops_what_was_stored(plan):
    relay = Relay(1)
    relay.prepare(plan)

    def fail():
        with relay.phase(0) as engine:
            assert engine.nbytes > 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not relay._stores
    assert relay.nbytes == 0


def test_the_scratch_file_is_reserved_before_the_first_tile(plan, tmp_path, monkeypatch):
    from dataclasses import replace

    stores = tuple(replace(s, offset=0) if s.wire == "a" else s for s in plan.stores)
    on_disk = replace(plan, stores=stores)
    relay = Relay(1, scratch=tmp_path / "scratch")
    relay.prepare(on_disk)
    assert (tmp_path / "scratch").is_dir()
    with relay.phase(0) as engine:
        assert isinstance(engine.stores["a"], FileStore)
    relay.close()
    relay.close()
    assert not (tmp_path / "scratch").exists()

    def no_room(fd, size, name):  # noqa: ARG001
        raise BudgetError("needs more", file=name)

    monkeypatch.setattr("volconv.formats.scratch_file.reserve", no_room)
    with pytest.raises(BudgetError):
        Relay(1, scratch=tmp_path / "scratch").prepare(on_disk)


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_was_stored_can_be_brought_back(plan, tmp_path, on_disk):
    """As another run's tiles are: without computing them."""
    from dataclasses import replace

    if on_disk:
        plan = replace(plan, stores=tuple(replace(s, offset=0) if s.wire == "a" else s for s in plan.stores))
    values = np.random.default_rng(0).standard_normal((2, 4, 5, 6)).astype("f4")
    kept, stored = {}, []
    for again in (False, True):
        relay = Relay(1, scratch=tmp_path / "scratch")
        relay.prepare(plan)
        with relay.phase(0) as engine:
            for tile in plan.phases[0].tiles:
                if again:
                    engine.restore(tile, "a", lambda out, at=tile.index: out.__setitem__(..., kept[at]))
                    continue
                engine.on_store = lambda name, region, out, at=tile.index: kept.update({at: out.copy()})  # noqa: ARG005
                engine.run_tile(tile, lambda region, out: out.__setitem__(..., values[:, *region.slices()]), None)
            assert len(kept) == plan.phases[0].count
            store, found = engine.stores["a"], np.empty((4, 5, 6), "f4")
            if on_disk:
                relay._file.read_into(0, memoryview(found).cast("B"))
            else:
                found = store.view.flat[: 4 * 5 * 6]
            stored.append(found.tobytes())
        relay.close()
    assert stored[0] == stored[1]
