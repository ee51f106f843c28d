"""Whole or absent, whatever kills the process: every system call of a write in turn."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from volconv.errors import RunError
from volconv.formats.nifti_body import GzipBody, PairBody, PlainBody

_CALLS = "pwrite64,write,fallocate,ftruncate,fsync,rename,link,unlink,fchmod"
_SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from volconv.formats.open import open_sink
from volconv.geometry import Geometry
from volconv.region import Region
from volconv.volume import OutputInfo, VolumeInfo
shape = (4, 5, 6)
origin = VolumeInfo(shape, 1, np.dtype("int16"), Geometry(np.eye(4), shape))
out = Path(sys.argv[1])
Path(sys.argv[2]).touch()
Path(sys.argv[2]).rename(sys.argv[2])
sink = open_sink(out, OutputInfo(shape, 1, np.dtype("float32"), origin), scratch=out.parent / "scratch", force=True)
sink.create()
values = np.arange(120, dtype=np.float32).reshape(1, *shape)
for region in Region.whole(shape).split((2, 5, 6)):
    sink.write(region, values[:, *region.slices()])
sink.finish()
"""
NEW = np.arange(120, dtype=np.float32).reshape(4, 5, 6).T


def run(out, *strace):
    """Run the script under strace; the calls of Python's own start are told apart by the mark it makes first."""
    command = [*strace, sys.executable, "-c", _SCRIPT, str(out), str(out.parent.parent / "mark")]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def state(out):
    """What a reader finds: the old volume, the new one, or none."""
    if not out.exists():
        return "absent"
    array = np.asanyarray(nib.load(out).dataobj)
    return "old" if array.shape == (2, 2, 2) else "new" if np.array_equal(array, NEW) else "damaged"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".hdr"])
@pytest.mark.parametrize("old", [False, True])
def test_a_kill_at_any_call_leaves_a_whole_volume_or_none(folder, suffix, old):
    out, log = folder / f"out{suffix}", folder.parent / "log"
    kind = nib.Nifti1Pair if suffix == ".hdr" else nib.Nifti1Image

    def begin():
        shutil.rmtree(folder)
        folder.mkdir()
        if old:
            nib.save(kind(np.ones((2, 2, 2), np.uint8), np.eye(4)), out)

    begin()
    assert run(out, "strace", "-f", "-o", str(log), "-e", f"trace={_CALLS}").returncode == 0
    assert state(out) == "new"
    lines = [(re.match(r"\d+ +(\w+)\(", line), line) for line in log.read_text().splitlines()]
    calls = [(match[1], line) for match, line in lines if match]
    start = next(i for i, (_, line) in enumerate(calls) if "/mark" in line)
    allowed = {"absent", "new"} if not old else {"absent", "old", "new"} if suffix == ".hdr" else {"old", "new"}
    seen = set()
    for when in range(start + 1, len(calls)):
        name = calls[when][0]
        nth = sum(1 for other, _ in calls[: when + 1] if other == name)
        begin()
        inject = f"inject={name}:signal=KILL:when={nth}"
        killed = run(out, "strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e", inject)
        assert killed.returncode != 0
        seen.add(state(out))
        assert state(out) in allowed, calls[when]
        assert run(out).returncode == 0
        assert state(out) == "new"
        names = {out.name, "out.img"} if suffix == ".hdr" else {out.name}
        assert {p.name for p in folder.iterdir()} - {"scratch"} == names, calls[when]
        assert not (folder / "scratch").exists() or not list((folder / "scratch").iterdir())
    assert seen == allowed


def bodies(folder):
    yield PlainBody(folder / "a.nii", False, b"header", 100)
    yield GzipBody(folder / "b.nii.gz", False, b"header", 100, scratch=folder / "scratch")
    yield PairBody(folder / "c.hdr", folder / "c.img", False, b"header", 100)


def test_what_is_written_can_be_read_back(tmp_path):
    for body in bodies(tmp_path):
        body.create()
        body.write(10, memoryview(b"voxels"))
        out = bytearray(8)
        body.read_into(9, memoryview(out))
        assert out == b"\0voxels\0"
        body.read_into(92, memoryview(out))
        assert out == bytes(8)
        with pytest.raises(RunError, match="ends"):
            body.read_into(93, memoryview(out))
        body.complete()
        assert not any(path.exists() for path in body.paths)
        body.publish()
        assert all(path.exists() for path in body.paths)
        body.abort()
    assert (tmp_path / "a.nii").read_bytes() == b"header" + bytes(10) + b"voxels" + bytes(84)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nii", "b.nii.gz", "c.hdr", "c.img"]


def test_bodies_need_creating_and_may_be_aborted_at_any_time(tmp_path):
    for body in bodies(tmp_path):
        body.abort()
        with pytest.raises((RuntimeError, IndexError)):
            body.write(0, memoryview(b"x"))
        body.create()
        body.abort()
        body.abort()
    assert list(tmp_path.iterdir()) == []
