"""Global options, help, and errors of the command line itself."""

import subprocess
import sys

import click
import pytest

from volconv import __version__
from volconv.cli.command import Command
from volconv.cli.main import COMMANDS, cli

PARTS = {
    "unknown command": (["rnu"], "did you mean 'run'?"),
    "far from any command": (["zzzz"], "expected one of run, plan,"),
    "both -v and -q": (["-v", "-q", "demo"], "contradict"),
    "unknown option": (["run", "--wieghts", "x"], "--weights"),
    "global option": (["run", "a", "b", "-o", "c", "--debug"], "before the command: volconv --debug run ..."),
    "short global option": (["run", "a", "b", "-q"], "before the command: volconv -q run ..."),
    "global option of a sub-command": (["presets", "list", "-v"], "before the command: volconv -v presets list ..."),
    "version of a command": (["plan", "--version"], "before the command: volconv --version plan ..."),
    "output twice": (["run", "a", "b", "-o", "c", "--output", "d"], "'--output': it is given 2 times, expected once"),
    "no spec": (["run"], "'SPEC'"),
    "no input": (["run", "gaussian", "-o", "x.nii"], "'INPUT...'"),
    "no output": (["run", "gaussian", "x.nii"], "'-o'"),
    "tile of two": (["run", "a", "b", "-o", "c", "--tile", "3,4"], "three whole numbers"),
    "tile of zero": (["run", "a", "b", "-o", "c", "--tile", "3,0,4"], "three whole numbers"),
    "tile of words": (["run", "a", "b", "-o", "c", "--tile", "half"], "'whole'"),
    "negative spacing": (["run", "a", "b", "-o", "c", "--spacing", "1,-1,1"], "millimetres"),
    "spacing not a number": (["run", "a", "b", "-o", "c", "--spacing", "1,nan,1"], "millimetres"),
    "infinite spacing": (["run", "a", "b", "-o", "c", "--spacing", "1,inf,1"], "millimetres"),
    "memory": (["run", "a", "b", "-o", "c", "--memory", "much"], "512MiB"),
    "set without =": (["run", "a", "b", "-o", "c", "--set", "sigma"], "NAME=VALUE"),
    "set without a value": (["run", "a", "b", "-o", "c", "--set", "sigma="], "NAME=VALUE"),
    "set twice": (["run", "a", "b", "-o", "c", "--set", "s=1", "--set", "s=2"], "given 2 times"),
    "save without =": (["run", "a", "b", "-o", "c", "--save", "x.nii"], "STAGE=PATH"),
    "no threads": (["run", "a", "b", "-o", "c", "--threads", "0"], "x>=1"),
    "algorithm": (["run", "a", "b", "-o", "c", "--algorithm", "fft"], "direct"),
    "dtype": (["run", "a", "b", "-o", "c", "--dtype", "int7"], "int8"),
    "channels": (["run", "a", "b", "-o", "c", "--channels", "5d"], "vector"),
    "output type": (["run", "a", "b", "-o", "c", "--output-type", "labels"], "argmax"),
    "resume with a value": (["run", "a", "b", "-o", "c", "--resume=yes"], "--resume"),
    "negative tolerance": (["compare", "a", "b", "--atol", "-1"], "x>=0"),
    "check nothing": (["check"], "no SPEC"),
    "schema of a spec": (["check", "--schema", "x.yaml"], "takes no SPEC"),
    "inspect nothing": (["inspect"], "'FILE'"),
    "unknown sub-command": (["presets", "lsit"], "lsit"),
}


@pytest.mark.parametrize(("words", "part"), PARTS.values(), ids=PARTS.keys())
def test_an_error_of_the_command_line_is_one_line_and_status_2(volconv, words, part):
    result = volconv(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("volconv: ")
    assert result.stderr.count("\n") == 1
    assert part in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_file_is_named_once(volconv, name):
    command = cli.get_command(click.Context(cli), name)
    assert isinstance(command, Command | click.Group)
    for option in getattr(command, "params", []):
        if isinstance(option, click.Option) and option.name in ("output", "weights", "mask"):
            with pytest.raises(click.BadParameter, match="2 times"):
                command._refuse_repeated(click.Context(command), [option.opts[-1], "1", option.opts[0], "1"])
    assert volconv(name, *(["--help"] * 2)).exit_code == 0


def test_the_last_of_other_options_counts(tmp_path, volconv):
    words = ["convert", "absent.nii", str(tmp_path / "b.nii"), "--dtype", "nonsense", "--dtype", "int8"]
    assert "no such file" in volconv(*words).stderr


def test_help_lists_every_command(volconv):
    result = volconv("--help")
    assert result.exit_code == 0
    assert result.stderr == ""
    for name in COMMANDS:
        assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(volconv, name):
    result = volconv(name, "--help")
    assert result.exit_code == 0
    assert f"Usage: volconv {name}" in result.stdout


def test_no_command_shows_the_help_as_an_error(volconv):
    result = volconv()
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Commands:" in result.stderr


def test_version(volconv):
    assert volconv("--version").stdout == f"volconv {__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["run", "--wieghts"], ["rnu"], ["--version"]])
def test_help_and_usage_errors_load_nothing_heavy(words):
    code = (
        "import sys\n"
        "from volconv.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'numpy', 'numba', 'nibabel', 'h5py', 'rich', 'ruamel', 'asyncio'} & set(sys.modules)\n"
        "    print('HEAVY', sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert "HEAVY []" in done.stdout


def test_python_dash_m():
    done = subprocess.run([sys.executable, "-m", "volconv", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"volconv {__version__}\n"
