"""Formats are told by content, and cost nothing where they are not used."""

import subprocess
import sys

import pytest
from safetensors.numpy import save_file

from volconv.weights.store import open_weights

CODE = """
import sys
from volconv.weights.store import open_weights
open_weights(sys.argv[1]).describe()
assert "h5py" not in sys.modules, "h5py was imported"
assert "numba" not in sys.modules, "numba was imported"
"""


def test_other_formats_do_not_load_h5py(tmp_path, tensors):
    save_file(tensors, tmp_path / "a.h5")
    subprocess.run([sys.executable, "-c", CODE, tmp_path / "a.h5"], check=True)


@pytest.mark.parametrize("name", ["a.npz", "a.pth", "a.h5", "a", "a.nii.gz"])
def test_names_do_not_matter(tmp_path, tensors, name):
    save_file(tensors, tmp_path / name)
    with open_weights(tmp_path / name) as store:
        assert store.format == "safetensors"
