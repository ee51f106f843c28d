"""ENOSPC and EIO from every call that touches a run's files: one line, the right status, nothing half-made."""

import errno
from collections import Counter

import pytest

from .harness import CASES, Bench, choose, need_strace

pytestmark = pytest.mark.slow

NAMING = ("link", "rename", "replace")
REMOVING = ("unlink", "rmdir")
READING = ("pread", "preadv")


@pytest.mark.parametrize("symbol", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("kind", CASES)
def test_an_error_from_any_call(tmp_path, kind, symbol):
    bench = Bench(tmp_path / "folder", kind, force=symbol == "EIO")
    calls = bench.count()
    tried, codes = list(choose(calls, shift=symbol == "EIO")), Counter()
    for at, call in tried:
        bench.begin()
        done = bench.run(at=at, error=getattr(errno, symbol))
        check(bench, call, done, symbol)
        codes[done.returncode] += 1
        bench.check_again(call)
    print(f"{kind} {symbol}: {len(tried)} of {len(calls)} calls, exit codes {sorted(codes.items())}")


def check(bench, call, done, symbol):
    """Check exit code, message and files after one failed call."""
    name = call[0]
    found = [bench.state(output) for output in bench.outputs]
    before = "old" if bench.force else "absent"
    assert done.stdout == "", (call, done)
    if done.returncode == 0:
        assert found == ["new"] * len(found), (call, found)
        assert bench.extra() == [] or name in REMOVING, (call, bench.extra())
        return
    assert done.returncode in (1, 2, 4), (call, done)
    assert done.returncode != 4 or (symbol == "ENOSPC" and name not in ("pwrite", "fsync", *NAMING)), (call, done)
    assert name not in READING or done.returncode == 1, (call, done)
    assert done.stderr.count("\n") == 1, (call, done)
    assert done.stderr.startswith("volconv: "), (call, done)
    for word in ("internal error", "Errno", "Traceback"):
        assert word not in done.stderr, (call, done)
    assert bench.untouched(), call
    if name in NAMING or (name == "fsync" and found != [before] * len(found)):
        # Renaming has begun. The results are whole and kept, some under hidden names, for the next run to finish.
        assert set(found) <= {"new", before, "absent"}, (call, found)
    elif name in REMOVING:
        assert set(found) <= {"new", before}, (call, found)
    else:
        assert found == [before] * len(found), (call, found, done)
        assert bench.extra() == [], (call, bench.extra(), done)


FROM_WITHOUT = [
    ("nii", "fallocate", "ENOSPC", 4, "needs"),
    ("nii.gz", "fallocate", "ENOSPC", 4, "needs"),
    ("h5", "fallocate", "ENOSPC", 4, "needs"),
    ("nii", "pwrite64", "ENOSPC", 1, "cannot write"),
    ("h5", "fsync", "EIO", 1, "cannot be written"),
    ("nii.gz", "fsync", "ENOSPC", 1, "cannot be written"),
    ("set", "fsync", "EIO", 1, "cannot be written"),
    ("pair", "fchmod", "EIO", 1, "cannot be written"),
    ("pair", "rename", "ENOSPC", 1, "list of outputs cannot be written"),
]


@pytest.mark.parametrize(("kind", "name", "symbol", "code", "said"), FROM_WITHOUT)
def test_an_error_from_without(tmp_path, kind, name, symbol, code, said):
    """The same by strace, in a process of its own; `when` passes over what is written into the lock."""
    need_strace()
    bench = Bench(tmp_path / "folder", kind, force=True)
    bench.count()
    bench.begin()
    when = "2+" if name == "pwrite64" else "1+"
    inject = f"inject={name}:error={symbol}:when={when}"
    done = bench.start("strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e", inject)
    assert done.returncode == code, done
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert [bench.state(name) for name in bench.outputs] == ["old"] * len(bench.outputs)
    assert bench.extra() == []
    bench.check_again(name)
