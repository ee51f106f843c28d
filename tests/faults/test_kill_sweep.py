"""SIGKILL at every call that touches a run's files: each output is whole or as it was, and the next run mends."""

from collections import Counter

import pytest

from .harness import CASES, Bench, choose, need_strace
from .server import NAMES

pytestmark = pytest.mark.slow

SYSTEM = {"pwrite": "pwrite64", "posix_fallocate": "fallocate", "utime": "utimensat", "replace": "rename"}
"""What strace calls the functions of `os`, where it has another name."""


@pytest.mark.parametrize("force", [False, True], ids=["new", "force"])
@pytest.mark.parametrize("kind", CASES)
def test_a_kill_at_any_call(tmp_path, kind, force):
    bench = Bench(tmp_path / "folder", kind, force)
    calls = bench.count()
    tried, states = list(choose(calls, shift=force)), set()
    for at, call in tried:
        bench.begin()
        done = bench.run(at=at)
        assert done.returncode == -9, (call, done)
        found = tuple(bench.state(name) for name in bench.outputs)
        states.add(found)
        check_states(kind, force, found, call)
        assert bench.untouched(), call
        bench.check_again(call)
    before = "old" if force else "absent"
    assert (before,) * len(bench.outputs) in states
    assert ("new",) * len(bench.outputs) in states
    print(f"{kind}, force {force}: killed at {len(tried)} of {len(calls)} calls, found {sorted(states)}")


def check_states(kind, force, found, call):
    """Check what a reader finds: files of a set one by one whole, a pair whole or not one."""
    allowed = {"new", "old"} if force else {"new", "absent"}
    if kind == "pair":
        pairs = {("absent", "absent"), ("absent", "new"), ("new", "new")}
        assert found in pairs | ({("old", "old"), ("absent", "old")} if force else set()), (call, found)
    else:
        assert set(found) <= allowed, (call, found)


@pytest.mark.parametrize("kind", CASES)
def test_no_call_escapes_the_sweep(tmp_path, kind):
    """strace counts as many calls of each kind that changes anything as the sweep does."""
    need_strace()
    bench = Bench(tmp_path / "folder", kind, force=True)
    names = [name for name in NAMES if name not in ("open", "close", "pread", "preadv")]
    swept = Counter(SYSTEM.get(name, name) for name, _ in bench.count() if name in names)
    system = sorted(
        {SYSTEM.get(name, name) for name in names} | {"write", "pwritev", "writev", "truncate", "renameat2"}
    )
    assert Counter(line.partition("(")[0] for line in bench.trace(system)) == swept


@pytest.mark.parametrize(("kind", "name", "nth"), [("nii", "fsync", 1), ("h5", "fchmod", 1), ("pair", "rename", 1),
                                                   ("set", "rmdir", 1), ("nii.gz", "utimensat", 1)])  # fmt: skip
def test_a_kill_from_without(tmp_path, kind, name, nth):
    """The same by strace, from outside a process of its own."""
    need_strace()
    bench = Bench(tmp_path / "folder", kind, force=True)
    bench.count()
    bench.begin()
    kill = f"inject={name}:signal=KILL:when={nth}"
    done = bench.start("strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e", kill)
    assert done.returncode == -9
    found = tuple(bench.state(name) for name in bench.outputs)
    check_states(kind, True, found, name)
    assert set(found) == ({"new"} if name == "rmdir" else {"old"})
    bench.check_again(name)
