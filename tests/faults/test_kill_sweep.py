"""SIGKILL at every system call that touches a run's files: each output is whole or as it was, and the next run mends.

`VOLCONV_FULL_SWEEP=1` tries every call; else those of the commit, and a few before it.
"""

import pytest

from .harness import CASES, CHANGING, FULL, Bench, need_strace

EVERY = 4
"""Of the calls before the commit one in so many is tried."""


def chosen(calls):
    """Return the calls to be tried."""
    if FULL:
        return calls
    commit = next(i for i, call in enumerate(calls) if call.name == "fchmod")
    return calls[:commit:EVERY] + calls[commit:]


@pytest.mark.slow
@pytest.mark.parametrize("force", [False, True], ids=["new", "force"])
@pytest.mark.parametrize("kind", CASES)
def test_a_kill_at_any_call(tmp_path, kind, force):
    need_strace()
    bench = Bench(tmp_path / "folder", kind, force)
    calls = bench.calls(CHANGING)
    assert all(call.is_reachable for call in calls), calls
    states = set()
    for call in chosen(calls):
        done = bench.inject(call, signal="KILL")
        assert done.returncode == -9, (call, done)
        found = tuple(bench.state(name) for name in bench.outputs)
        states.add(found)
        check_states(kind, force, found, call)
        assert bench.untouched(), call
        bench.check_again(call)
    before = "old" if force else "absent"
    assert (before,) * len(bench.outputs) in states
    assert ("new",) * len(bench.outputs) in states
    print(f"{kind}, force {force}: {len(chosen(calls))} of {len(calls)} calls, states {sorted(states)}")


def check_states(kind, force, found, call):
    """Check what a reader finds: files of a set one by one whole, a pair whole or not one."""
    allowed = {"new", "old"} if force else {"new", "absent"}
    if kind == "pair":
        pairs = {("absent", "absent"), ("absent", "new"), ("new", "new")}
        assert found in pairs | ({("old", "old"), ("absent", "old")} if force else set()), (call, found)
    else:
        assert set(found) <= allowed, (call, found)
