"""U-Nets as people train them, with batch norms or instance norms, from file to file: the same bytes at any cut."""

import itertools
import json

import nibabel as nib
import numpy as np
import pytest

import volconv

TILES = [(24, 24, 24), (32, 32, 32), (57, 57, 57), (128, 128, 128), "whole"]


class Net:
    """Stages, and random weights of a size that keeps values at about 1."""

    def __init__(self, norm):
        self.norm, self.stages, self.tensors = norm, [], {}
        self.rng = np.random.default_rng(0)

    def conv(self, name, inputs, outputs, op="Conv3d", kernel=3, **parameters):
        channels = (inputs, outputs) if op == "ConvTranspose3d" else (outputs, inputs)
        weight = self.rng.standard_normal((*channels, *(kernel,) * 3)) * np.sqrt(2 / (inputs * kernel**3))
        self.tensors[f"{name}.weight"] = weight.astype("f4")
        self.tensors[f"{name}.bias"] = self.rng.standard_normal(outputs).astype("f4")
        self.stages.append({"op": op, "name": name, **parameters})

    def block(self, name, inputs, outputs, stride=1):
        self.conv(f"{name}.conv", inputs, outputs, stride=stride, padding=1)
        self.tensors[f"{name}.norm.weight"] = self.rng.uniform(0.5, 2, outputs).astype("f4")
        self.tensors[f"{name}.norm.bias"] = self.rng.standard_normal(outputs).astype("f4")
        if self.norm == "BatchNorm3d":
            self.tensors[f"{name}.norm.running_mean"] = self.rng.standard_normal(outputs).astype("f4")
            self.tensors[f"{name}.norm.running_var"] = self.rng.uniform(0.2, 2, outputs).astype("f4")
        affine = {} if self.norm == "BatchNorm3d" else {"affine": True}
        self.stages += [{"op": self.norm, "name": f"{name}.norm", **affine}, {"op": "LeakyReLU", "name": name}]


def make_unet(norm):
    net = Net(norm)
    for name, inputs, outputs, stride in (("e0", 1, 8, 1), ("e1", 8, 16, 2), ("e2", 16, 32, 2)):
        net.block(name, inputs, outputs, stride)
    net.stages += [
        {"op": "Upsample", "name": "u1", "scale_factor": 2, "mode": "trilinear"},
        {"op": "Concat", "name": "c1", "inputs": ["u1", "e1"]},
    ]
    net.block("d1", 48, 16)
    net.conv("u0", 16, 8, "ConvTranspose3d", kernel=2, stride=2)
    net.stages.append({"op": "Add", "name": "c0", "inputs": ["u0", "e0"]})
    net.block("d0", 8, 8)
    net.conv("head", 8, 3, kernel=1)
    return net


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["BatchNorm3d", "InstanceNorm3d"])
def test_the_same_bytes_at_any_cut(norm, tmp_path):
    net = make_unet(norm)
    np.savez(tmp_path / "net.npz", **net.tensors)
    spec = tmp_path / "net.json"
    spec.write_text(json.dumps({"volconv": 1, "weights": "net.npz", "stages": net.stages}))
    scan = np.random.default_rng(1).integers(0, 1000, (40, 136, 36)).astype("i2")
    nib.save(nib.Nifti1Image(scan, np.diag([1, 1, 2, 1])), tmp_path / "scan.nii")
    found = set()
    for tile, threads, memory in itertools.product(TILES, (1, 2), ("600MB", None)):
        limit = {} if memory is None else {"memory": memory}
        volconv.run(spec, tmp_path / "scan.nii", tmp_path / "out.nii", tile=tile, threads=threads, force=True, **limit)
        found.add((tmp_path / "out.nii").read_bytes())
    assert len(found) == 1
    result = np.asarray(nib.load(tmp_path / "out.nii").dataobj)
    assert result.shape == (40, 136, 36, 3)
    assert np.isfinite(result).all()
    assert result.std() > 0.1
