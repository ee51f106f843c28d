"""One way to run the command line in this process: stdout, stderr and the exit code, apart."""

import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from volconv.cli.main import cli


@pytest.fixture(scope="session", autouse=True)
def _importable_from_anywhere():
    """Let processes started in another folder find the package of this checkout."""
    root = str(Path(__file__).parents[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))))
        yield


@pytest.fixture
def volconv(tmp_path, monkeypatch):
    """Run ``volconv WORDS...`` in an empty folder; the result has .exit_code, .stdout and .stderr."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def call(*words):
        return runner.invoke(cli, [str(word) for word in words])

    return call


@pytest.fixture(autouse=True, scope="session")
def signals_are_not_ignored():
    """Undo what a test runner's own starter may have set: under nohup, or in a shell's background, some are ignored.

    Processes started here would inherit that, and volconv leaves ignored signals ignored.
    """
    default = {signal.SIGINT: signal.default_int_handler}
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        if signal.getsignal(name) == signal.SIG_IGN:
            signal.signal(name, default.get(name, signal.SIG_DFL))
