"""Formats are told by content, and cost nothing where they are not used."""

import subprocess
import sys

import pytest
from safetensors.numpy import save_file

from volconv.weights.registry import FORMATS, formats
from volconv.weights.store import open_weights

CODE = """\
import sys
from volconv.weights.store import open_weights
open_weights(sys.argv[1]).describe()
print(*sys.modules)
"""


def test_other_formats_are_not_loaded(tmp_path, tensors):
    save_file(tensors, tmp_path / "a.h5")
    line = [sys.executable, "-c", CODE, tmp_path / "a.h5"]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"h5py", "numba", "onnx"}
    assert {module for module, _ in FORMATS if f"volconv.weights.{module}" in loaded} == {"safetensors_file"}


def test_every_format_is_found_and_has_a_place():
    assert len(list(formats())) == len(FORMATS) == len(set(FORMATS))


@pytest.mark.parametrize("name", ["a.npz", "a.pth", "a.h5", "a", "a.nii.gz"])
def test_names_do_not_matter(tmp_path, tensors, name):
    save_file(tensors, tmp_path / name)
    with open_weights(tmp_path / name) as store:
        assert store.format == "safetensors"
