"""`volconv run` with specs that are damaged or made to do harm."""

import json
import os
import socket
import time
from itertools import pairwise

import pytest

from tests.hostile.carriers import make_nifti
from volconv.error_codes import ERROR_CODES

STAGE = "{op: Conv3d, name: a, out_channels: 1, kernel_size: 3, weight: {init: default, seed: 1}}"


@pytest.fixture
def run_spec(refused, tmp_path):
    """Return a function: a run of this text must fail with this code within a second or so."""
    make_nifti(tmp_path / "scan.nii")

    def check(code, text, name="hostile.yaml", status=3, words=()):
        content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        (tmp_path / name).write_bytes(content)
        started = time.process_time()
        error = refused(code, "run", name, "scan.nii", "-o", "out.nii", *words, status=status)
        assert time.process_time() - started < 3
        return error

    return check


def stages(*entries, top=""):
    return f"volconv: 1\n{top}stages:\n" + "".join(f"  - {entry}\n" for entry in entries)


def test_bombs(run_spec):
    laughs = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    run_spec("spec.text", laughs)
    run_spec("spec.text", "a: &a {b: *a}\n")
    run_spec("spec.text", "volconv: 1\n<<: {a: 1}\n")
    run_spec("spec.too_large", "a: " + "[" * 5000 + "]" * 5000)
    run_spec("spec.too_large", "[" * 5000, "hostile.json")
    run_spec("spec.too_large", "a: b\n" * 300_000)
    run_spec("spec.too_large", "a: [" + "1, " * 200_000 + "1]")


@pytest.mark.parametrize(
    "value",
    ["!!python/object/apply:os.mkdir [it-ran]", "!!python/name:os.system", "!include /etc/passwd", "&a 3", "*a"],
)
def test_tags_and_aliases(run_spec, tmp_path, value):
    run_spec("spec.text", f"volconv: 1\nname: {value}\n")
    assert not (tmp_path / "it-ran").exists()


OUT = "{{op: Conv3d, name: a, out_channels: {}, kernel_size: 3, weight: {{init: default, seed: 1}}}}"


@pytest.mark.parametrize("value", ["$(touch it-ran)", "`touch it-ran`", "__import__('os').mkdir('it-ran')", "${HOME}"])
def test_expressions_are_text(run_spec, tmp_path, value):
    run_spec("spec.value", stages(OUT.format(f'"{value}"')))
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"volconv: 1\nvolconv: 1\n",
        b"volconv: 1\n---\nvolconv: 1\n",
        b"volconv: 1\nstages:\n\t- {}\n",
        b"volconv: 1\nname: caf\xe9\n",
        "volconv: 1\n".encode("utf-16"),
        b"volconv: [1\n",
        b"",
    ],
    ids=["keys twice", "two documents", "tab", "latin-1", "UTF-16", "unclosed", "empty"],
)
def test_text_that_is_no_spec(run_spec, content):
    assert run_spec("spec.text", content)["where"].startswith("line ")


def test_unknown_keys_and_operators_name_the_nearest(run_spec):
    assert "'stages'" in run_spec("spec.unknown", "volconv: 1\nstagse: []\n")["expected"]
    assert "'Conv3d'" in run_spec("spec.unknown", stages("{op: conv3d, name: a}"))["expected"]
    assert (
        "kernel_size"
        in run_spec(
            "spec.unknown",
            stages("{op: Conv3d, name: a, out_channels: 1, kernel: 3, weight: {init: default, seed: 1}}"),
        )["expected"]
    )


@pytest.mark.parametrize("value", ["true", "1.5", "null", "[]", "three", "-1", "0", "1e3", ".nan"])
def test_whole_numbers_are_whole_numbers(run_spec, value):
    code = "spec.text" if value == ".nan" else "spec.value"
    run_spec(code, stages(OUT.format(value)))
    if value != "three":
        run_spec(code, stages(STAGE.replace("kernel_size: 3", f"kernel_size: {value}")))


@pytest.mark.parametrize("value", ["true", "2", "'1'", "1.0", "null"])
def test_versions(run_spec, value):
    run_spec("spec.value", f"volconv: {value}\nstages: []\n")


@pytest.mark.parametrize("key", ["kernel_size", "padding", "dilation", "groups"])
@pytest.mark.parametrize("value", [10**9, 10**18, 2**63])
def test_numbers_out_of_all_bounds(run_spec, key, value):
    text = STAGE.replace("kernel_size: 3", f"kernel_size: {value}")
    if key != "kernel_size":
        text = STAGE.replace("kernel_size: 3", f"kernel_size: 3, {key}: {value}")
    content = stages(text)
    code = {10**9: "spec.shape", 10**18: "spec.value", 2**63: "spec.text"}[value]
    # Weights are made before it is known whether the kernel fits.
    code = {("groups", 10**9): "spec.value", ("kernel_size", 10**9): "memory.budget"}.get((key, value), code)
    run_spec(code, content, status=ERROR_CODES[code].exit_code)


def test_stages_without_room(run_spec):
    wide = stages(STAGE.replace("kernel_size: 3", "kernel_size: 99"))
    assert "'a'" in run_spec("spec.shape", wide)["message"]
    text = STAGE.replace("kernel_size: 3", "kernel_size: 21, padding: 10, padding_mode: reflect")
    assert "'a'" in run_spec("spec.shape", stages(text))["message"]


def test_rings_and_names(run_spec):
    run_spec("spec.wiring", stages("{op: ReLU, name: a, input: b}", "{op: ReLU, name: b, input: a}"))
    run_spec("spec.wiring", stages("{op: ReLU, name: a, input: a}"))
    run_spec("spec.wiring", stages("{op: ReLU, name: a, input: c}"))
    run_spec("spec.wiring", stages("{op: ReLU, name: a}", "{op: ReLU, name: a}"))
    names = [f"s{n}" for n in range(600)]
    ring = [f"{{op: ReLU, name: {name}, input: {before}}}" for before, name in pairwise([names[-1], *names])]
    run_spec("spec.wiring", stages(*ring))


@pytest.fixture
def special_files(tmp_path, command):  # noqa: ARG001 (makes the folder the current one)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/etc/passwd")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("socket")
    (tmp_path / "device").symlink_to("/dev/zero")
    yield
    listening.close()


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../spec.yaml", "a/../../b", "https://example.org/w.npz", "file:///etc/passwd", "/dev/zero", "pipe",
     "folder", "link", "socket", "device", "a\\0b", "x" * 5000, "~/w.npz", "none.npz"],
)  # fmt: skip
@pytest.mark.usefixtures("special_files")
def test_weights_named_by_a_spec(run_spec, path):
    stage = "{op: Conv3d, name: a, out_channels: 1, kernel_size: 3}"
    error = run_spec("spec.path", f'volconv: 1\nweights: {{file: "{path}"}}\nstages: [{stage}]\n')
    assert "root:" not in error["message"]


@pytest.mark.parametrize("path", ["pipe", "folder", "socket", "device", "none.npz", "a\0b", "x" * 5000])
@pytest.mark.usefixtures("special_files")
def test_weights_named_on_the_command_line(run_spec, path):
    text = stages("{op: Conv3d, name: a, out_channels: 1, kernel_size: 3}")
    run_spec("usage.missing_file", text, status=2, words=("-w", path))


def test_control_characters(run_spec):
    raw = run_spec("spec.text", "volconv: 1\nname: \x1b[31mred\n")
    assert r"\x1b" in raw["message"]
    for text in ('"\\e[31m[bold]red[/bold]\\n"', '"a\\nb\\x07"'):
        error = run_spec("spec.wiring", stages(f"{{op: ReLU, name: a, input: {text}}}"))
        assert "\n" not in error["message"]
        assert "\x1b" not in error["message"]
    error = run_spec("spec.unknown", json.dumps({"volconv": 1, "\x1b[2J": 1, "stages": []}), "hostile.json")
    assert r"\x1b[2J" in error["message"]


def test_markup_is_text(command, tmp_path):
    text = 'volconv: 1\ndescription: "[red]a[/red]"\nstages: [{op: Identity, name: a}]\n'
    (tmp_path / "odd.yaml").write_text(text)
    assert "[red]a[/red]" in command("inspect", "odd.yaml").stdout
    assert command("check", "odd.yaml").exit_code == 0


def test_weights_that_no_memory_holds(run_spec):
    """A file of a hundred bytes asks for a terabyte of random numbers, and for as many taps."""
    huge = stages("{op: Conv3d, name: a, out_channels: 2000000000, kernel_size: 3, weight: {init: default, seed: 1}}")
    assert "'a'" in run_spec("memory.budget", huge, status=4)["message"]
    taps = stages("{op: Conv3d, name: a, kernel_size: [99999, 99999, 9999], padding: same, weight: {generator: mean}}")
    run_spec("spec.value", taps)
