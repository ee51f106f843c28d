"""ENOSPC and EIO from every system call that touches a run's files: one line, the right status, nothing half-made.

`VOLCONV_FULL_SWEEP=1` tries every call; else one in a few.
"""

import errno

import pytest

from .harness import CASES, CHANGING, FULL, Bench, need_strace

NAMES = (*CHANGING, "close", "pread64", "preadv")
EVERY = 5
NAMING = ("link", "rename")
REMOVING = ("unlink", "rmdir")


@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("kind", CASES)
def test_an_error_from_any_call(tmp_path, kind, symbol):
    need_strace()
    bench = Bench(tmp_path / "folder", kind, force=symbol == "EIO")
    calls = [call for call in bench.calls(NAMES) if call.is_reachable]
    tried = calls if FULL else calls[CASES_AT[kind] :: EVERY]
    codes = {}
    for call in tried:
        done = bench.inject(call, error=getattr(errno, symbol), symbol=symbol)
        check(bench, call, done)
        codes[done.returncode] = codes.get(done.returncode, 0) + 1
        bench.check_again(call)
    print(f"{kind} {symbol}: {len(tried)} of {len(calls)} calls, exit codes {codes}")


CASES_AT = {kind: at for at, kind in enumerate(CASES)}


def check(bench, call, done):
    """Check exit code, message and files after one failed call."""
    assert done.returncode in (0, 1, 2, 4), (call, done)
    assert done.stdout == "", (call, done)
    found = [bench.state(name) for name in bench.outputs]
    before = "old" if bench.force else "absent"
    if done.returncode == 0:
        assert found == ["new"] * len(found), (call, found)
        assert bench.extra() == [] or call.name in REMOVING, (call, bench.extra())
        return
    lines = done.stderr.splitlines()
    assert len(lines) == 1, (call, lines)
    assert lines[0].startswith("volconv: "), (call, lines)
    assert "internal error" not in lines[0], (call, lines)
    assert "Errno" not in lines[0], (call, lines)
    if done.returncode == 4:
        assert call.name in ("fallocate", "mkdir"), (call, lines)
    assert bench.untouched(), call
    if call.name in NAMING or (call.name == "fsync" and "new" in found):
        # The results are whole and kept: under their own names or hidden ones, for the next run to finish.
        assert set(found) <= {"new", before, "absent"}, (call, found)
    elif call.name in REMOVING:
        assert set(found) <= {"new", before}, (call, found)
    else:
        assert found == [before] * len(found), (call, found)
        assert bench.extra() == [], (call, bench.extra())
