"""The folder of a run: one lock, held by the living, taken over from the dead."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from volconv.errors import OutputError
from volconv.formats.run_folder import RunFolder, folder_of

ROOT = str(Path(__file__).parents[2])


def test_made_for_its_owner_alone_and_gone_afterwards(tmp_path):
    out = tmp_path / "out.nii"
    held = RunFolder(out)
    assert held.path == folder_of(out) == tmp_path / "out.nii.volconv"
    assert held.path.stat().st_mode & 0o777 == 0o700
    assert not held.was_left
    held.release()
    held.release()
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_is_told_who_holds_it_and_since_when(tmp_path):
    out = tmp_path / "out.nii"
    held = RunFolder(out)
    with pytest.raises(OutputError, match=rf"being written by process {os.getpid()} on .+ since \d{{4}}-.+") as caught:
        RunFolder(out)
    assert caught.value.exit_code == 2
    other = RunFolder(tmp_path / "other.nii")
    other.release()
    held.release()
    RunFolder(out).release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"format": 2}', b'{"format": 1}', b"\xff" * 9000])
def test_whatever_a_lock_says_it_holds(tmp_path, content):
    held = RunFolder(tmp_path / "out.nii")
    (held.path / "lock").write_bytes(content)
    with pytest.raises(OutputError, match="is being written by") as caught:
        RunFolder(tmp_path / "out.nii")
    assert str(caught.value).isprintable()
    held.release()


_HOLDER = """
import sys
from pathlib import Path
from volconv.formats.run_folder import RunFolder
held = RunFolder(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
"""


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    out = tmp_path / "out.nii"
    command = [sys.executable, "-c", _HOLDER, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(OutputError, match=f"process {process.pid} on"):
            RunFolder(out)
        process.send_signal(signal.SIGKILL)
        process.wait()
    folder = folder_of(out)
    (folder / "0123456789abcdef.scratch").write_bytes(b"not yet nameless")
    (folder / "mine.scratch").write_bytes(b"kept")
    held = RunFolder(out)
    assert held.was_left
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "mine.scratch"]
    held.release()
    assert [path.name for path in folder.iterdir()] == ["mine.scratch"], "what is not the run's own stays"


def test_where_no_folder_can_be_made_the_names_themselves_will_tell(tmp_path):
    (tmp_path / "out.nii.volconv").write_bytes(b"a file")
    (tmp_path / "loop.nii.volconv").symlink_to("nowhere")
    for out in (tmp_path / "out.nii", tmp_path / "loop.nii", tmp_path / "no" / "out.nii", Path("/proc/self/out.nii")):
        held = RunFolder(out)
        assert not held.was_left
        held.release()
    assert (tmp_path / "out.nii.volconv").read_bytes() == b"a file"


def test_a_lock_that_is_no_file_is_not_followed(tmp_path):
    folder = folder_of(tmp_path / "out.nii")
    folder.mkdir()
    (tmp_path / "precious").write_bytes(b"precious")
    (folder / "lock").symlink_to(tmp_path / "precious")
    RunFolder(tmp_path / "out.nii").release()
    assert (tmp_path / "precious").read_bytes() == b"precious"
