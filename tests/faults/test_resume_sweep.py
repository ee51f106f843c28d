"""SIGKILL at every call of a run with ``--resume`` that touches its files: the next finishes the job, nothing twice.

A call that writes is killed half-way.
"""

import json

import pytest

from .harness import CASES, OUTPUTS, Bench, choose, need_strace

pytestmark = pytest.mark.slow

NORM = '{"volconv": 1, "stages": [{"op": "ReLU"}, {"op": "InstanceNorm3d"}, {"op": "ReLU"}]}'
KINDS = [*CASES, "norm"]


class ResumedBench(Bench):
    """Runs that keep their tiles; `kind` may also be ``norm``: a run in phases."""

    def __init__(self, folder, kind, force):
        super().__init__(folder, "nii" if kind == "norm" else kind, force)
        self.words[self.words.index("--tile") + 1] = "1,5,6"
        self.words += ["--resume", "--json"]
        if kind == "norm":
            self.inputs["spec.json"] = NORM.encode()

    def finished(self):
        """Return how many tiles the journal lists."""
        journals = list(self.folder.glob("*.volconv/journal"))
        return journals[0].read_bytes().count(b"\n") if journals else 0

    def check_resumed(self, call):
        """Check that the next run succeeds and computes no tile that is listed."""
        finished = self.finished()
        done = self.run()
        assert done.returncode == 0, (call, done)
        assert [self.state(name) for name in self.outputs] == ["new"] * len(self.outputs), (call, done)
        assert self.extra() == [], (call, done)
        assert self.untouched(), (call, done)
        summary = json.loads(done.stdout)
        if not summary["skipped"] and (finished or summary["tiles_resumed"]):
            assert summary["tiles_resumed"] == finished, (call, done)
            assert summary["tiles_computed"] == summary["tiles"] - finished, (call, done)
        return finished


@pytest.mark.parametrize("force", [False, True], ids=["new", "force"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_any_call(tmp_path, kind, force):
    bench = ResumedBench(tmp_path / "folder", kind, force)
    calls = bench.count()
    tried, resumed = list(choose(calls, shift=force)), set()
    for at, call in tried:
        bench.begin()
        done = bench.run(at=at, torn=True)
        assert done.returncode == -9, (call, done)
        states = {bench.state(name) for name in bench.outputs}
        assert states <= ({"new", "old"} | ({"absent"} if kind == "pair" or not force else set())), (call, states)
        assert bench.untouched(), call
        resumed.add(bench.check_resumed(call))
    assert len(resumed) > 2
    print(f"{kind}, force {force}: killed at {len(tried)} of {len(calls)} calls, resumed from {sorted(resumed)} tiles")


@pytest.mark.parametrize(
    ("kind", "name", "nth"),
    [("nii", "write", 2), ("norm", "pwrite64", 9), ("norm", "unlink", 3), ("set", "rename", 1), ("h5", "fsync", 2)],
)
def test_a_kill_from_without(tmp_path, kind, name, nth):
    """The same by strace, from outside a process of its own."""
    need_strace()
    bench = ResumedBench(tmp_path / "folder", kind, force=False)
    bench.count()
    bench.begin()
    kill = f"inject={name}:signal=KILL:when={nth}"
    done = bench.start("strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e", kill)
    assert done.returncode == -9
    bench.check_resumed(name)


def test_killed_at_every_turn(tmp_path):
    """A job whose every process is killed a little later than the one before comes to its end all the same."""
    bench = ResumedBench(tmp_path / "folder", "norm", force=False)
    calls = bench.count()
    bench.begin()
    before = 0
    for at in range(12, len(calls), 7):
        if bench.run(at=at, torn=True).returncode == 0:
            break
        assert bench.finished() >= before or bench.state("out.nii") == "new"
        before = bench.finished()
    else:
        bench.check_resumed("the last")
    assert bench.state("out.nii") == "new"
    assert OUTPUTS["nii"] == bench.outputs
