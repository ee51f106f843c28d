"""`volconv run -w` with weights that are damaged or made to do harm; the readers' own tests go further."""

import io
import json
import os
import pickle
import tarfile
import time
import zipfile

import h5py
import numpy as np
import pytest

from tests.hostile.carriers import make_nifti
from tests.weights.conftest import raw_zip
from tests.weights.pickle_cases import (
    call,
    items,
    lucid,
    lucid2,
    name,
    number,
    state_dict,
    storage,
    tensor,
    text,
    torch_legacy,
    torch_zip,
    tup,
    whole,
)

SPEC = """\
volconv: 1
weights: {file: WEIGHTS}
stages: [{op: Conv3d, name: conv, out_channels: 2, kernel_size: 3}]
"""
NUMEL = tensor(storage(numel=5))
"""A storage of which the archive holds less."""

GOOD = {"conv.weight": np.ones((2, 1, 3, 3, 3), "f4"), "conv.bias": np.ones(2, "f4")}


@pytest.fixture
def run_with(refused, tmp_path):
    """Return a function: a run with these bytes for weights must fail with this code, quickly."""
    make_nifti(tmp_path / "scan.nii")
    (tmp_path / "spec.yaml").write_text(SPEC)

    def check(code, content, suffix=".bin", status=3):
        path = tmp_path / f"weights{suffix}"
        if content is not None:
            path.write_bytes(content)
        started = time.process_time()
        error = refused(code, "run", "spec.yaml", "scan.nii", "-o", "out.nii", "-w", path, status=status)
        assert time.process_time() - started < 5
        return error

    return check


def npz(**tensors):
    out = io.BytesIO()
    np.savez(out, **{key.replace("_", "."): value for key, value in tensors.items()})
    return out.getvalue()


def in_tar(content):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("pickle")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("function", [("posix", "mkdir"), ("builtins", "eval"), ("numpy", "memmap")], ids=".".join)
def test_code_in_pickles(run_with, tmp_path, function):
    body = call(name(*function), text(str(tmp_path / "it-ran")))
    for carried in (whole(body), torch_zip(whole(body)), torch_legacy(whole(body)), lucid(body), lucid2(body)):
        error = run_with("weights.pickle", carried)
        assert ".".join(function) in error["message"]
    run_with("weights.format", in_tar(whole(body)))
    assert not (tmp_path / "it-ran").exists()


def test_programs_and_checkpoints_say_what_to_save(run_with):
    module = whole(name("my.models", "UNet") + b")\x81}" + text("_parameters") + b"}sb")
    assert "state_dict" in run_with("weights.pickle", torch_zip(module))["message"]
    script = io.BytesIO()
    with zipfile.ZipFile(script, "w") as archive:
        archive.writestr("net/constants.pkl", b"")
        archive.writestr("net/code/__torch__.py", b"")
        archive.writestr("net/data.pkl", whole(b"}"))
    assert "TorchScript" in run_with("weights.format", script.getvalue())["message"]


@pytest.mark.parametrize(
    "lie",
    [
        NUMEL,
        tensor(size=(3, 3), stride=(3, 1)),
        tensor(offset=2),
        tensor(size=(2, 2), stride=(1 << 40, 1)),
        tensor(size=(1 << 30, 1 << 30), stride=(0, 0)),
        tensor(offset=-1),
    ],
    ids=["numel", "shape", "offset", "stride", "stride 0", "negative"],
)
def test_tensors_that_lie_about_their_storage(run_with, lie):
    code = "weights.torch" if lie == NUMEL else "weights.pickle"
    assert run_with(code, torch_zip(state_dict(a=lie)))["expected"]


def test_pickles_that_unfold(run_with):
    ten_of = [b"](" + (b"h" + bytes([n])) * 10 + b"eq" + bytes([n + 1]) for n in range(60)]
    laughs, nests = b"]q\x00" + b"".join(ten_of), b"(" * 100_000 + b"l" * 100_000
    for body in (laughs, nests, b"\x8d" + (1 << 31).to_bytes(8, "little")):
        run_with("weights.pickle", whole(body, 4))


def test_zip_archives_that_lie(run_with):
    good = {"name": "archive/data.pkl", "data": state_dict(a=tensor())}
    run_with("weights.zip", raw_zip([good, good]))
    run_with("weights.zip", raw_zip([{**good, "flags": 1}]))
    run_with("weights.zip", raw_zip([{**good, "method": 12}]))
    run_with("weights.zip", raw_zip([{**good, "size": 1 << 30}]))
    run_with("weights.zip", raw_zip([{**good, "crc": 1}]))
    run_with("weights.torch", torch_zip(state_dict(a=tensor()), more=[("../evil", b"")]))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 28))
    run_with("weights.torch", bomb.getvalue())


def npy(header):
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }\n",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2, 1, 3, 3, 3), }\n",
        "{'descr': __import__('os').mkdir('it-ran'), 'fortran_order': False, 'shape': (1,), }\n",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 1, 3, 3, 3), }\n",
    ],
    ids=["2^60", "objects", "code", "records"],
)
def test_npy_headers(run_with, tmp_path, header):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("conv.weight.npy", npy(header))
        archive.writestr("conv.bias.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (16,), }\n"))
    run_with("weights.type" if "|O" in header or "[(" in header else "weights.npy", out.getvalue(), ".npz")
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}}',
        b'{"a": {"dtype": "X", "shape": [], "data_offsets": [0, 4]}}',
    ],
)
def test_safetensors_headers(run_with, header):
    run_with("weights.safetensors", len(header).to_bytes(8, "little") + header + bytes(8))
    run_with("weights.safetensors", (1 << 40).to_bytes(8, "little") + header)


def test_onnx(run_with, tmp_path):
    onnx = pytest.importorskip("onnx")

    def model(*initialisers):
        graph = onnx.helper.make_graph([], "g", [], [], initialisers)
        return onnx.helper.make_model(graph).SerializeToString()

    weight = onnx.numpy_helper.from_array(GOOD["conv.weight"], "conv.weight")
    run_with("weights.onnx", model(weight)[:-40], ".onnx")
    run_with("weights.onnx", model(), ".onnx")
    weight.data_type = 99
    run_with("weights.onnx", model(weight), ".onnx")
    weight.data_type = 1
    weight.dims[:] = [1 << 62, 4]
    run_with("weights.onnx", model(weight), ".onnx")
    (tmp_path / "outside").write_bytes(bytes(216))
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.link(tmp_path / "outside", tmp_path / "hard")
    for location in ("/etc/passwd", "../outside", "a/../../outside", "link", "hard"):
        weight = onnx.TensorProto(name="conv.weight", dims=(2, 1, 3, 3, 3), data_type=1, data_location=1)
        weight.external_data.add(key="location", value=location)
        error = run_with("weights.outside", model(weight), ".onnx")
        assert "root:" not in error["message"]
    (tmp_path / "beside").write_bytes(bytes(216))
    for key, value in (("offset", "-8"), ("length", str(1 << 50)), ("offset", "9999")):
        weight = onnx.TensorProto(name="conv.weight", dims=(2, 1, 3, 3, 3), data_type=1, data_location=1)
        weight.external_data.add(key="location", value="beside")
        weight.external_data.add(key=key, value=value)
        run_with("weights.onnx", model(weight), ".onnx")


def test_names_that_are_not_there(run_with):
    error = run_with(
        "weights.missing_tensor", npz(conv_Weight=GOOD["conv.weight"], conv_bias=GOOD["conv.bias"]), ".npz"
    )
    assert "conv.Weight" in error["message"]
    error = run_with("weights.missing_tensor", npz(module_conv_weight=GOOD["conv.weight"]), ".npz")
    assert "'module.'" in error["message"]


@pytest.mark.parametrize(
    ("code", "weight"),
    [
        ("weights.shape", np.ones((2, 3, 3, 3), "f4")),
        ("weights.shape", np.ones((1, 2, 3, 3, 3), "f4")),
        ("weights.type", np.full((2, 1, 3, 3, 3), "a")),
        ("weights.type", np.ones((2, 1, 3, 3, 3), "c8")),
        ("weights.not_finite", np.full((2, 1, 3, 3, 3), np.nan, "f4")),
        ("weights.not_finite", np.full((2, 1, 3, 3, 3), 1e300)),
    ],
)
def test_tensors_that_do_not_fit(run_with, code, weight):
    error = run_with(code, npz(conv_weight=weight, conv_bias=GOOD["conv.bias"]), ".npz")
    assert "conv" in error["where"] or "conv" in error["message"]


def test_hdf5_that_leads_elsewhere(run_with, tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.create_dataset("conv/weight", (54,), "u1", external=[("/etc/passwd", 0, 54)])
    run_with("weights.hdf5", None, ".h5")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (b"", "weights.format"),
        (bytes(4096), "weights.format"),
        (b"<!DOCTYPE html><html>", "weights.format"),
        (b"version https://git-lfs.github.com/spec/v1\n", "weights.format"),
        (pickle.dumps({"a": 1}, 0), "weights.format"),
        (json.dumps({"secret": "Doe^Jane 1971"}).encode(), "weights.format"),
    ],
    ids=["empty", "zeros", "HTML", "LFS", "protocol 0", "JSON"],
)
def test_what_is_no_weights_file(run_with, kind, code):
    run_with(code, kind)


def test_numbers_beside_objects(run_with):
    run_with("weights.pickle", whole(items([("a", tup(number(1), text("b")) + b"Q")])))
