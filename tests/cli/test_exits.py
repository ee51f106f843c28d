"""Every way out of the process: exit codes, one line on stderr, signals as a shell sees them."""

import errno
import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest

from volconv import errors
from volconv.cli.console import Console
from volconv.cli.exits import guard


@pytest.fixture
def run_guarded(capsys):
    """Run an action that raises `error`; return exit code, stdout, stderr."""

    def run(error, **attributes):
        console = Console()
        for name, value in attributes.items():
            setattr(console, name, value)

        def action():
            raise error

        code = guard(action, console)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.VolconvError("no"), 1, "volconv: no\n"),
        (errors.UsageError("no"), 2, "volconv: no\n"),
        (errors.OutputError("exists", file="a\nb.nii"), 2, "volconv: a\\nb.nii: exists\n"),
        (errors.SpecError("bad", file="s.yaml", where="line 3"), 3, "volconv: s.yaml: line 3: bad\n"),
        (errors.WeightsError("bad"), 3, "volconv: bad\n"),
        (errors.FormatError("bad"), 3, "volconv: bad\n"),
        (errors.BudgetError("too little"), 4, "volconv: too little\n"),
        (errors.RunError("failed"), 1, "volconv: failed\n"),
        (click.UsageError("Wrong\nhere."), 2, "volconv: wrong here\n"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.nii"), 1, "volconv: x.nii: No such file\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "volconv: No space left on device\n"),
        (OSError("odd"), 1, "volconv: odd\n"),
        (KeyError("a\nb"), 1, "volconv: internal error: KeyError: 'a\\nb' (run with --debug)\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 0, ""),
        (click.exceptions.Exit(1), 1, ""),
    ],
)
def test_each_error_has_its_line_and_code(run_guarded, error, code, line, monkeypatch):
    monkeypatch.setattr(Console, "discard_stdout", lambda _self: None)
    assert run_guarded(error) == (code, "", line)


def test_memory_error_says_what_to_do(run_guarded):
    code, _, err = run_guarded(MemoryError())
    assert code == 1
    assert "--memory" in err


def test_import_error_is_no_internal_error(run_guarded):
    code, _, err = run_guarded(ImportError("libllvm"))
    assert code == 1
    assert err.startswith("volconv: a library this needs cannot be loaded: ImportError: libllvm")


def test_traceback_only_with_debug(run_guarded):
    assert "Traceback" not in run_guarded(ValueError("x"))[2]
    assert "Traceback" not in run_guarded(errors.SpecError("x"))[2]
    code, out, err = run_guarded(errors.SpecError("x"), debug=True)
    assert (code, out) == (3, "")
    assert err.startswith("Traceback")
    assert err.endswith("\nvolconv: x\n")


def test_quiet_still_says_errors(run_guarded):
    assert run_guarded(errors.RunError("x"), level=-1)[2] == "volconv: x\n"


def test_json_error_is_one_document(run_guarded):
    code, out, err = run_guarded(errors.SpecError("bad", file="s.yaml", where="line 3"), json=True)
    assert code == 3
    assert err == "volconv: s.yaml: line 3: bad\n"
    words = {"code": "spec.value", "file": "s.yaml", "where": "line 3", "message": "bad"}
    assert json.loads(out) == {"error": words | {"found": None, "expected": None, "retry": False}}


@pytest.mark.parametrize(
    ("error", "code", "retry"),
    [
        (errors.FormatError("bad", code="nifti.vox_offset"), "nifti.vox_offset", False),
        (errors.RunError("no room", code="disk.full"), "disk.full", True),
        (click.UsageError("wrong"), "usage.command_line", False),
        (MemoryError(), "memory.exhausted", True),
        (OSError(errno.ENOSPC, "No space left on device"), "disk.full", True),
        (OSError(errno.EIO, "Input/output error"), "run.io", True),
        (ImportError("libllvm"), "run.library", False),
        (KeyError("a"), "run.internal", False),
    ],
)
def test_json_error_has_a_code_and_says_whether_to_try_again(run_guarded, error, code, retry):
    document = json.loads(run_guarded(error, json=True)[1])["error"]
    assert (document["code"], document["retry"]) == (code, retry)
    assert document["message"]


@pytest.mark.parametrize(
    ("message", "found", "expected"),
    [
        ("found 3, expected 4", "3", "4"),
        ("the header is cut short: found 20 bytes, expected 348", "20 bytes", "348"),
        ("3 inputs, expected at least 2", "3 inputs", "at least 2"),
        ("found 'a, expected b', expected c", "'a, expected b'", "c"),
        ("exists; name another output", None, None),
    ],
)
def test_found_and_expected(message, found, expected):
    error = errors.FormatError(message)
    assert (error.found, error.expected) == (found, expected)


def test_json_error_shows_control_characters_as_escapes(run_guarded):
    error = errors.SpecError("found \x1b[31m, expected\ntext", file="a\nb", where="\x07")
    document = json.loads(run_guarded(error, json=True)[1])["error"]
    assert document["file"] == "a\nb"
    assert document["where"] == "\\x07"
    assert document["message"] == "found \\x1b[31m, expected\\ntext"


def python(code, **options):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


WAITING = """
    import sys, time
    from volconv.cli import exits
    from volconv.cli.console import Console

    def action():
        try:
            print("ready", flush=True)
            {wait}
        finally:
            print("cleaned up", flush=True)

    exits.install_signals()
    sys.exit(exits.guard(action, Console()))
"""


class TestSignals:
    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
    def test_cleans_up_and_dies_of_the_signal(self, name):
        with python(WAITING.format(wait="time.sleep(60)")) as process:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(getattr(signal, name))
            out, err = process.communicate(timeout=20)
        assert process.returncode == -getattr(signal, name)
        assert out == "cleaned up\n"
        assert err == f"volconv: stopped by {name}\n"

    def test_a_shell_sees_128_and_the_number(self, tmp_path):
        script = tmp_path / "job.py"
        script.write_text(
            textwrap.dedent(WAITING.format(wait="import os, signal; os.kill(os.getpid(), signal.SIGTERM)"))
        )
        line = f'"{sys.executable}" "{script}"; echo status $?'
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
        assert "status 143" in done.stdout

    def test_passes_an_except_exception(self):
        wait = "exec('try:\\n time.sleep(60)\\nexcept Exception:\\n print(1)')"
        with python(WAITING.format(wait=wait)) as process:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=20)
        assert process.returncode == -signal.SIGTERM
        assert out == "cleaned up\n"

    def test_second_signal_ends_at_once(self):
        code = WAITING.replace('print("cleaned up", flush=True)', 'print("slow", flush=True); time.sleep(60)')
        with python(code.format(wait="time.sleep(60)")) as process:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "slow\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == -signal.SIGINT

    def test_an_ignored_signal_stays_ignored(self):
        code = WAITING.format(wait="time.sleep(0.5)")
        with python(f"import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n{textwrap.dedent(code)}") as process:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGHUP)
            process.communicate(timeout=20)
        assert process.returncode == 0


class TestStreams:
    def test_closed_pipe_is_quiet(self):
        code = """
            import sys, time
            from volconv.cli import exits
            from volconv.cli.console import Console
            console = Console()
            def action():
                sys.stdin.read()
                console.out("x" * 200_000)
            sys.exit(exits.guard(action, console))
        """
        with python(code, stdin=subprocess.PIPE) as process:
            process.stdout.close()
            process.stdin.close()
            assert process.stderr.read() == ""
            assert process.wait(timeout=20) == 0

    def test_full_disk_behind_stdout(self):
        code = """
            import sys
            from volconv.cli import exits
            from volconv.cli.console import Console
            console = Console()
            sys.exit(exits.guard(lambda: console.out("x"), console))
        """
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-c", textwrap.dedent(code)],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.stderr == "volconv: No space left on device\n"
        assert done.returncode == 1

    @pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
    def test_closed_streams(self, closed, tmp_path):
        script = tmp_path / "job.py"
        script.write_text(
            "from volconv.cli.exits import open_standard_streams\n"
            "open_standard_streams()\n"
            f"with open({str(tmp_path / 'output')!r}, 'w') as stream:\n"
            "    assert stream.fileno() > 2\n"
            "    from volconv.cli.console import Console\n"
            "    Console().note('note'); Console().out('result')\n"
        )
        line = f'"{sys.executable}" "{script}" {closed}'
        assert subprocess.run(["sh", "-c", line], check=False, capture_output=True).returncode == 0
        assert (tmp_path / "output").read_text() == ""
