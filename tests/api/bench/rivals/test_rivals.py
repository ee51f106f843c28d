"""Every library that is installed computes what the engine does, in both ways of calling it."""

import numpy as np
import pytest

from volconv.api.bench.exact import TOLERANCE, make_exact
from volconv.api.bench.networks import make_volume
from volconv.api.bench.rivals.base import ENTRIES, Task, make_rival
from volconv.api.bench.rivals.child import Job
from volconv.api.bench.rivals.process import KEEP_MEMORY, RivalProcess, make_environment
from volconv.api.bench.zeros import pad_with_zeros
from volconv.errors import RunError

from ..cases import ROWS

NEEDS = {
    "torch": ("torch",),
    "torch-channels-last": ("torch",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "onnx"),
    "scipy": ("scipy",),
    "torch-passes": ("torch",),
}


def make_job(name, rivals, is_plain=False):
    row = ROWS[name]
    network = row.make()
    volume = make_volume(row.channels, row.shape, row.volume)
    exact = make_exact(network.build, volume)
    zeros = make_exact(lambda *wire: pad_with_zeros(network.build(*wire)), volume)
    return Job(row, rivals, 1, is_plain, exact, zeros)


@pytest.mark.slow
@pytest.mark.parametrize("is_plain", [False, True])
@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("name", ENTRIES)
def test_results(name, row, is_plain):
    for module in NEEDS[name]:
        pytest.importorskip(module)
    job = make_job(row, (name,), is_plain)
    if ENTRIES[name].only_filters and row != "gaussian":
        pytest.skip("filters alone")
    graph = job.row.make().build(job.row.shape, job.row.channels)
    volume = make_volume(job.row.channels, job.row.shape, job.row.volume)
    before = volume.copy()
    rival = make_rival(name, Task(graph, volume, 1, is_plain))
    exact = job.exact if name == "scipy" else job.exact_zeros
    for _ in range(2):
        rival.run()
        assert exact.error_of(rival.result()) <= TOLERANCE
    assert np.array_equal(volume, before)
    assert rival.version


class TestProcess:
    @pytest.fixture(autouse=True)
    def _needs_scipy(self):
        pytest.importorskip("scipy")

    def test_serves(self):
        with RivalProcess(make_job("gaussian", ("scipy",))) as child:
            child.wait_ready()
            assert child.versions["scipy"]
            child.warm_up("scipy")
            assert child.errors["scipy"] <= TOLERANCE
            assert child.warm_seconds["scipy"] > 0
            assert 0 < child.time("scipy") < 10

    def test_what_does_not_work_is_said(self):
        """SciPy's rival takes one filter; asked for a network, it is reported and the process lives on."""
        with RivalProcess(make_job("network", ("scipy",))) as child:
            child.wait_ready()
            assert child.failed["scipy"].startswith("ValueError")
            assert not child.errors

    def test_a_process_that_dies_is_an_error(self):
        with RivalProcess(make_job("gaussian", ("scipy",))) as child:
            child.wait_ready()
            child._process.kill()
            with pytest.raises(RunError, match=r"the process of scipy ended with status -9"):
                child.time("scipy")


def test_memory_is_kept_for_those_who_reuse_it_alone():
    environ = {"PATH": "/bin", "OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "7"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    reused, plain = (make_environment(make_job("few", (), is_plain), environ) for is_plain in (False, True))
    assert reused == {"PATH": "/bin", **threads, **KEEP_MEMORY}
    assert plain == {"PATH": "/bin", **threads}
