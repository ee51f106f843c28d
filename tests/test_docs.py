"""Pages that follow from the code are up to date, and the README tells the truth about the command line."""

import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import volconv
from volconv.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def docs():
    found = importlib.util.spec_from_file_location("make_docs", ROOT / "docs" / "make_docs.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "presets.md", "operators.md", "errors.md"])
def test_page_is_what_the_code_says(docs, name):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == docs.make_pages()[name], "run python docs/make_docs.py"


def test_every_command_and_option_has_help(docs):
    for name, command in docs.commands(docs.cli):
        assert command.help, name
        for param in command.params:
            if param.param_type_name == "option":
                assert param.help, f"{name} {param.opts}"
                assert param.help.endswith("."), f"{name} {param.opts}"


def test_readme_names_every_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not {name for name in COMMANDS if f"`{name}" not in readme and f"volconv {name}" not in readme}


def test_commands_in_the_pages_parse(docs):
    known = dict(docs.commands(docs.cli))
    for page in ("README.md", "CONTRIBUTING.md", "docs/cli.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
        for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
            words = shlex.split(line.lstrip("$ "), comments=True) if line.lstrip("$ ").startswith("volconv ") else []
            words = words[: next((i for i, word in enumerate(words) if word in (">", "|", "&&")), len(words))]
            if len(words) > 1 and words[1] in known:
                options = {option for param in known[words[1]].params for option in param.opts}
                used = {word.split("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)}
                assert used <= options | {"--help"}, line


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_readme_runs(tmp_path, monkeypatch):
    """The first spec and the Python lines of the README, as they stand, on the sample scan."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "sample_data" / "t1_2mm.nii.gz", "scan.nii.gz")
    Path("edges.yaml").write_text(blocks("yaml")[0])
    (code,) = blocks("python")
    names = {}
    exec(code, names)
    assert nib.load("smooth.nii.gz").shape == nib.load("scan.nii.gz").shape
    assert names["edges"].shape == (1, 64, 64, 64)
    assert names["features"].shape == (8, 64, 64, 64)


def test_the_network_of_the_readme_runs(tmp_path, monkeypatch):
    """Its second spec, on a piece of the sample scan, with random weights."""
    monkeypatch.chdir(tmp_path)
    scan = nib.load(ROOT / "sample_data" / "t1_2mm.nii.gz").slicer[30:60, 40:75, 30:62]
    scan.to_filename("scan.nii.gz")
    Path("tissue.yaml").write_text(blocks("yaml")[1])
    rng, weights = np.random.default_rng(0), {}
    layers = [(f"model.{n}.conv", (16, 16 if n else 1, 3, 3, 3)) for n in range(9)]
    for name, shape in (*layers, ("scores", (3, 16, 1, 1, 1))):
        weights[f"{name}.weight"] = rng.normal(size=shape).astype("f4")
        weights[f"{name}.bias"] = rng.normal(size=shape[:1]).astype("f4")
    np.savez("model.npz", **weights)
    volconv.run("tissue.yaml", "scan.nii.gz", "labels.nii.gz", weights="model.npz", save={"scores": "scores.nii.gz"})
    labels, scores = nib.load("labels.nii.gz"), nib.load("scores.nii.gz")
    assert labels.shape == scan.shape
    assert scores.shape == (*scan.shape, 3)
    np.testing.assert_array_equal(labels.affine, scan.affine)
    assert labels.get_data_dtype() == np.uint8
    assert np.asarray(labels.dataobj).max() == 2
