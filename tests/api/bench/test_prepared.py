"""A row in the engine, prepared once: right results, and nothing but the layer in the time."""

import pytest

from volconv.api.bench.exact import TOLERANCE
from volconv.api.bench.prepared import Prepared
from volconv.api.bench.sides import PlainSide, PreparedSide, make_subject
from volconv.kernels.jit import thread_count

from .cases import LAYERS, ROWS


@pytest.fixture(params=ROWS)
def subject(request):
    return make_subject(ROWS[request.param])


@pytest.mark.slow
def test_results_are_right_however_often_it_runs(subject):
    side = PreparedSide(subject, 1)
    assert side.error <= TOLERANCE
    assert side.run() > 0
    assert side.run(1) > 0
    assert side.kernels
    assert PreparedSide(subject, 2).error == side.error


@pytest.mark.slow
def test_plain_calls_are_right(subject):
    with subject.network.opened() as (spec, weights):
        side = PlainSide(subject, spec, weights)
        assert side.error <= TOLERANCE
        assert side.run() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_timed_alone(name):
    subject = make_subject(ROWS[name])
    prepared = Prepared(subject.graph, subject.volume, 1, is_part=True)
    steps = prepared.plan.steps
    assert steps[0].kind == "read"
    assert steps[-1].kind not in ("copy", "write")
    assert all(step.kind != "copy" for step in steps)
    assert prepared.plan.count == 1


@pytest.mark.slow
def test_a_network_runs_from_array_to_array():
    subject = make_subject(ROWS["network"])
    prepared = Prepared(subject.graph, subject.volume, 1, is_part=False)
    kinds = [step.kind for step in prepared.plan.steps]
    assert kinds[0] == "read"
    assert "write" in kinds
    before = prepared.out.copy()
    prepared.run()
    assert prepared.out.shape == (2, 16, 16, 16)
    assert (prepared.out != before).any()


def test_threads_are_put_back():
    subject = make_subject(ROWS["few"])
    side = PreparedSide(subject, 1)
    side.run(1)
    assert thread_count() == side.threads


def test_work_is_counted_as_the_direct_algorithm_does():
    assert make_subject(ROWS["dense"]).macs == 16 * 16 * 27 * 12**3
    assert make_subject(ROWS["strided"]).macs == 4 * 8 * 27 * 8**3
    assert make_subject(ROWS["depthwise"]).macs == 8 * 27 * 10**3
    assert make_subject(ROWS["up2"]).macs == 8 * 4 * 12**3
    assert make_subject(ROWS["gaussian"]).macs == 5**3 * 12**3
    assert make_subject(ROWS["strided"]).nbytes == 4 * (4 * 16**3 + 8 * 8**3)
