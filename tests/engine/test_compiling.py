"""What compiling may take of a run's memory."""

import pytest

from volconv.engine import compiling
from volconv.engine.compiling import compile_jobs, make_ready
from volconv.errors import BudgetError
from volconv.kernels import compile_main
from volconv.kernels.jit import KernelSpec

MIB = 2**20
UNKNOWN = KernelSpec("copies.never_made", "float32", (1,))


@pytest.mark.parametrize(
    ("threads", "mib", "jobs"), [(4, 287, 0), (4, 288, 1), (4, 487, 1), (4, 488, 2), (1, 4096, 1), (64, 4096, 4)]
)
def test_processes_that_compile_stay_within_the_budget(threads, mib, jobs):
    assert compile_jobs(threads, mib * MIB) == jobs


def test_a_budget_that_compiling_does_not_fit_is_refused_with_one_that_does():
    with pytest.raises(BudgetError, match="--memory 288MiB") as caught:
        make_ready([UNKNOWN], pytest.fail, 0)
    assert (caught.value.exit_code, caught.value.needed) == (4, 288 * MIB)


def test_nothing_is_refused_where_nothing_is_to_be_compiled(monkeypatch):
    monkeypatch.setattr(compiling, "missing", lambda _specs: [])
    loaded = []
    monkeypatch.setattr(compiling, "get_kernel", loaded.append)
    make_ready([UNKNOWN], pytest.fail, 0)
    assert loaded == [UNKNOWN]


def test_a_process_compiles_few_kernels(monkeypatch):
    started = []
    monkeypatch.setattr(
        compile_main, "_compile_together", lambda specs, jobs, _folder: started.append((len(specs), jobs))
    )
    specs = [KernelSpec("copies.never_made", "float32", (n,)) for n in range(20)]
    assert not compile_main.compile_in_child(specs, jobs=2)
    assert started == [(12, 2), (8, 2)]
