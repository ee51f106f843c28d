"""How a run on a hostile file must end: status, code, one line, nothing written, nothing of the file's told."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.hostile.carriers import SECRET
from volconv.cli.main import cli

IDENTITY = "volconv: 1\nstages: [{op: Identity, name: same}]\n"


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run ``volconv WORDS...`` in an empty folder; the result has .exit_code, .stdout and .stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "same.yaml").write_text(IDENTITY)
    runner = CliRunner()
    return lambda *words: runner.invoke(cli, [str(word) for word in words])


@contextmanager
def peak_memory():
    """Yield a function that says, once the block is left, by how many bytes the process has grown in it at most."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, after = resident("VmRSS"), []
    yield lambda: after[0] - before
    after.append(resident("VmHWM"))


def resident(kind):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))


@pytest.fixture
def refused(command, tmp_path):
    """Return a function: the command must fail with this code and status, in one line, and leave no file behind."""

    def check(code, *words, status=3, peak_bytes=256 << 20):
        before = sorted(tmp_path.rglob("*"))
        with peak_memory() as peak:
            result = command(*words, "--json")
        assert not isinstance(result.exception, Exception), result.exception
        error = json.loads(result.stdout)["error"]
        assert (error["code"], result.exit_code) == (code, status), error
        lines = [line for line in result.stderr.split("\n") if "compiling kernels" not in line]
        assert len(lines) == 2
        assert lines[0].startswith("volconv: ")
        assert lines[1] == ""
        assert lines[0].isprintable()
        assert "Traceback" not in result.stderr
        assert len(lines[0]) < 2000 + sum(len(str(word)) for word in words)
        assert SECRET[:8] not in result.stderr + result.stdout
        assert sorted(tmp_path.rglob("*")) == before
        assert peak() < peak_bytes
        return error

    return check
