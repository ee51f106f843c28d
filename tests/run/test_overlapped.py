"""Reading and writing beside the engine: the bytes of the plain executor, and its errors."""

import importlib
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.engine.numba_engine import NumbaEngine
from volconv.errors import FormatError, RunError
from volconv.formats.in_memory import ArraySink, ArraySource
from volconv.graph.build import build_graph, make_loader
from volconv.graph.passes import optimise
from volconv.ops.base import Wire
from volconv.plan.cost import Traffic
from volconv.plan.make import make_plan
from volconv.run.events import Started, TileDone
from volconv.spec.load import load_spec_mapping
from volconv.volume import OutputInfo

overlapped = importlib.import_module("volconv.run.overlapped")
serial = importlib.import_module("volconv.run.serial")

SPEC = {
    "volconv": 1,
    "name": "net",
    "stages": [
        {"op": "Conv3d", "name": "a", "out_channels": 12, "kernel_size": 3, "padding": "same",
         "weight": {"init": "default", "seed": 1}},
        {"op": "ReLU", "name": "b"},
        {"op": "Conv3d", "name": "c", "out_channels": 2, "kernel_size": 3, "stride": 2, "padding": 1,
         "padding_mode": "reflect", "weight": {"init": "default", "seed": 2}},
    ],
}  # fmt: skip


class Job:
    """A plan, its engine, and sinks for arrays."""

    def __init__(self, shape, tile, batch=1, save=(), overlap=True):
        spec = load_spec_mapping(SPEC, {})
        loader = make_loader(spec, None)
        graph = optimise(build_graph(spec, Wire(shape, 1, "float32"), loader, tuple(save)), "auto")
        loader.close()
        values = np.random.default_rng(1).standard_normal((batch, 1, *shape), dtype=np.float32)
        self.source = ArraySource(values, None)
        self.plan = make_plan(
            graph, budget=2**34, traffic=Traffic(), threads=2, tile=tile, batch=batch, overlap=overlap
        )
        self.engine = NumbaEngine(2)
        self.engine.prepare(self.plan)
        self.sinks = {}
        for name in graph.outputs:
            wire = graph.wire(name)
            info = OutputInfo(wire.shape, wire.channels, np.dtype("f4"), self.source.info, wire.voxel_map, batch)
            self.sinks[name] = ArraySink(info)
            self.sinks[name].create()
        self.events = []

    def run(self, executor, stop=None):
        sinks = {name: [sink] for name, sink in self.sinks.items()}
        executor.execute(self.plan, self.engine, self.source, sinks, self.events.append, stop)
        for sink in self.sinks.values():
            sink.finish()
        return {name: sink.array.tobytes() for name, sink in self.sinks.items()}


def helpers():
    return [t.name for t in threading.enumerate() if t.name.startswith(("volconv-read", "volconv-write"))]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    st.tuples(*[st.integers(4, 20)] * 3),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.integers(1, 3),
    st.sampled_from([(), ("b",)]),
)
def test_same_bytes_as_one_after_the_other(shape, tile, batch, save):
    tile = tuple(min(t, -(-n // 2)) for t, n in zip(tile, shape, strict=True))
    beside, plain = Job(shape, tile, batch, save), Job(shape, tile, batch, save, overlap=False)
    assert bool(beside.plan.slots) == (beside.plan.count * batch > 1)
    assert not plain.plan.slots
    assert beside.run(overlapped if beside.plan.slots else serial) == plain.run(serial)
    assert beside.events[1:] == plain.events[1:]
    assert [type(event) for event in beside.events] == [Started] + [TileDone] * (beside.plan.count * batch)
    assert helpers() == []


def test_the_next_tile_is_read_and_the_last_one_written_meanwhile():
    job = Job((12, 12, 12), (2, 6, 6))
    read, compute, write = job.source.read, job.engine.run_tile, job.sinks["c"].write
    log = []

    def note(kind, call):
        def run(*args, **kwargs):
            log.append((kind, "begins", threading.current_thread().name))
            call(*args, **kwargs)
            log.append((kind, "ends", ""))

        return run

    def slowly(call):
        def run(*args, **kwargs):
            time.sleep(0.02)
            call(*args, **kwargs)

        return run

    job.source.read = note("read", slowly(read))
    job.engine.run_tile = note("tile", slowly(compute))
    job.sinks["c"].write = note("write", slowly(write))
    job.run(overlapped)
    inside, seen = False, set()
    for kind, what, _ in log:
        if kind == "tile":
            inside = what == "begins"
        elif inside and what == "begins":
            seen.add(kind)
    assert seen == {"read", "write"}
    assert len({thread for kind, what, thread in log if what == "begins"}) == 3


@pytest.mark.parametrize("where", ["read", "write"])
@pytest.mark.parametrize("when", [1, 2, 5, 12])
@pytest.mark.parametrize(("error", "raised"), [(FormatError, FormatError), (MemoryError, RunError)])
def test_errors_of_the_helpers_end_the_run(where, when, error, raised):
    job = Job((12, 12, 12), (1, 3, 6))
    assert job.plan.count == 12
    owner = job.source if where == "read" else job.sinks["c"]
    call, calls = getattr(owner, where), []

    def fail(*args, **kwargs):
        calls.append(1)
        if len(calls) == when:
            raise error("it fails")
        call(*args, **kwargs)

    setattr(owner, where, fail)
    with pytest.raises(raised):
        job.run(overlapped)
    assert len(calls) <= when + 2
    assert helpers() == []


def test_a_failing_watcher_ends_the_run():
    job = Job((12, 12, 12), (2, 6, 6))

    def emit(event):
        if isinstance(event, TileDone) and event.index == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        overlapped.execute(job.plan, job.engine, job.source, {"c": [job.sinks["c"]]}, emit)
    assert helpers() == []


def test_stops_before_the_next_tile():
    job, stop = Job((12, 12, 12), (1, 6, 6)), threading.Event()
    compute, tiles = job.engine.run_tile, []

    def run_tile(*args, **kwargs):
        tiles.append(1)
        if len(tiles) == 3:
            stop.set()
        compute(*args, **kwargs)

    job.engine.run_tile = run_tile
    overlapped.execute(job.plan, job.engine, job.source, {"c": [job.sinks["c"]]}, job.events.append, stop)
    assert len(tiles) == 3
    assert helpers() == []
