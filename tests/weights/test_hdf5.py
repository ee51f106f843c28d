"""HDF5: h5py writes; links and storage that lead out of the file are refused."""

import h5py
import numpy as np
import pytest

from volconv.errors import WeightsError
from volconv.weights.store import open_weights

W = np.arange(24.0).reshape(2, 3, 4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.bin"


def read(path):
    with open_weights(path) as store:
        return {name: store[name] for name in store}


@pytest.mark.parametrize("userblock", [0, 512, 2048])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_versions_and_user_blocks(path, userblock, libver):
    with h5py.File(path, "w", libver=libver, userblock_size=userblock) as file:
        file["net/0/weight"] = W
    np.testing.assert_array_equal(read(path)["net.0.weight"], W)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "gzip"},
        {"compression": "lzf", "shuffle": True},
        {"chunks": (1, 3, 4), "fletcher32": True},
        {},
    ],
)
def test_storage(path, options):
    with h5py.File(path, "w") as file:
        file.create_dataset("w", data=W.astype(">f4"), **options)
    found = read(path)["w"]
    assert found.dtype == np.dtype("f4")
    np.testing.assert_array_equal(found, W)


def test_soft_links_to_datasets_are_names(path):
    with h5py.File(path, "w") as file:
        file["a/weight"] = W
        file["a/tied"] = h5py.SoftLink("weight")
        file["far/tied"] = h5py.SoftLink("/a/weight")
        file["dangling"] = h5py.SoftLink("/nowhere")
        file["group"] = h5py.SoftLink("/a")
        file["round"] = h5py.SoftLink("/round")
        file["ping"] = h5py.SoftLink("/pong")
        file["pong"] = h5py.SoftLink("/ping")
    found = read(path)
    assert set(found) == {"a.weight", "a.tied", "far.tied"}
    for array in found.values():
        np.testing.assert_array_equal(array, W)


def test_hard_link_cycles_end(path):
    with h5py.File(path, "w") as file:
        file["a/weight"] = W
        file["a/self"] = file["a"]
        file["a/root"] = file["/"]
    assert set(read(path)) == {"a.weight"}


def test_deep_groups_are_listed_without_recursion(path):
    with h5py.File(path, "w") as file:
        group = file
        for _ in range(1500):
            group = group.create_group("g")
        group["w"] = W
    (name,) = read(path)
    assert name == "g." * 1500 + "w"


def test_strings_and_records_are_listed_but_not_read(path):
    with h5py.File(path, "w") as file:
        file["w"] = W
        file["text"] = "a note"
        file["fixed"] = np.array([b"abc"])
        file["record"] = np.zeros(2, [("a", "f4")])
        file["complex"] = np.zeros(2, "c8")
        file["flag"] = np.array([True])
        file["null"] = h5py.Empty("f4")
        file["reference"] = file["w"].ref
        file["type"] = np.dtype("f8")
    with open_weights(path) as store:
        assert {n: d for n, _, d in store.describe()} == {
            "w": "float64",
            "text": "str",
            "fixed": "str",
            "record": "compound",
            "complex": "complex64",
            "flag": "bool",
            "null": "null",
            "reference": "object",
        }
        np.testing.assert_array_equal(store["w"], W)
        for name in ("text", "fixed", "record", "complex", "flag", "null", "reference"):
            with pytest.raises(WeightsError, match=r"real numbers|never loaded"):
                store[name]


def secret(tmp_path):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["w"] = W
    return other


def external_link(path, other):
    with h5py.File(path, "w") as file:
        file["ok"] = W
        file["deep/er"] = h5py.ExternalLink(str(other), "/w")


def external_storage(path, other):
    with h5py.File(path, "w") as file:
        file.create_dataset("w", W.shape, "f8", external=[(str(other), 0, W.nbytes)])


def virtual_elsewhere(path, other):
    layout = h5py.VirtualLayout(W.shape, "f8")
    layout[...] = h5py.VirtualSource(str(other), "w", W.shape)
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("w", layout)


def virtual_missing(path, _):
    virtual_elsewhere(path, "nowhere.h5")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (external_link, "external link"),
        (external_storage, "external storage"),
        (virtual_elsewhere, "virtual dataset"),
        (virtual_missing, "virtual dataset"),
    ],
)
def test_nothing_outside_the_file_is_read(refused, tmp_path, make, match):
    make(tmp_path / "bad.bin", secret(tmp_path))
    refused(None, match)


def test_a_virtual_dataset_of_the_file_itself(path):
    with h5py.File(path, "w", libver="latest") as file:
        file["a"] = W[0]
        file["b"] = W[1]
        layout = h5py.VirtualLayout(W.shape, "f8")
        layout[0] = h5py.VirtualSource(".", "a", W[0].shape)
        layout[1] = h5py.VirtualSource(".", "b", W[1].shape)
        file.create_virtual_dataset("both", layout)
    np.testing.assert_array_equal(read(path)["both"], W)


def never_written(file):
    file.create_dataset("w", (1000, 1000), "f8")


def petabyte(file):
    file.create_dataset("w", (2**17, 2**17, 2**13), "f8", chunks=(64, 64, 64))


def half_written(file):
    file.create_dataset("w", (64, 64), "f8", chunks=(32, 32))[:32] = 1


def two_of_a_name(file):
    file["a.weight"] = W
    file["a/weight"] = W


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (never_written, "never written"),
        (petabyte, "never written"),
        (half_written, "2 chunks"),
        (two_of_a_name, "two t"),
    ],
)
def test_what_was_never_written_is_no_weight(refused, tmp_path, make, match):
    with h5py.File(tmp_path / "bad.bin", "w") as file:
        make(file)
    refused(None, match)


def test_a_broken_checksum(refused, tmp_path):
    path = tmp_path / "bad.bin"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        dataset = file.create_dataset("w", data=W, chunks=W.shape, fletcher32=True)
        at = dataset.id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[at + 5] ^= 1
    refused(bytes(content), "damaged HDF5")


def test_cut_short(refused, tmp_path):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["w"] = W
    refused(path.read_bytes()[:-100], "damaged HDF5: .*truncated")


def test_the_signature_alone(refused):
    refused(b"\x89HDF\r\n\x1a\n", "damaged HDF5")


def test_a_file_that_a_killed_writer_left_open(tmp_path, refused):
    import os
    import subprocess
    import sys

    path = tmp_path / "bad.bin"
    code = (
        "import h5py, os, sys; f = h5py.File(sys.argv[1], 'w', libver='latest'); f['w'] = 1.0; f.flush(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True, env=os.environ)
    refused(None, "not closed properly")


def test_a_file_replaced_while_it_is_opened(path):
    with h5py.File(path, "w") as file:
        file["w"] = W
    from volconv.weights.hdf5 import Hdf5Reader
    from volconv.weights.weight_file import WeightFile

    opened = WeightFile(path)
    path.rename(path.with_name("old"))
    with h5py.File(path, "w") as file:
        file["w"] = W
    with pytest.raises(WeightsError, match="replaced"):
        Hdf5Reader(opened)
    opened.close()


def test_the_layouts_of_keras(tmp_path):
    """Keras 2 repeats a layer's name and ends in ``:0``, Keras 3 numbers the variables."""
    path = tmp_path / "model.weights.h5"
    names = {
        "model_weights/conv3d/conv3d/kernel:0": "model_weights.conv3d.conv3d.kernel:0",
        "model_weights/conv3d/conv3d/bias:0": "model_weights.conv3d.conv3d.bias:0",
        "layers/conv3d/vars/0": "layers.conv3d.vars.0",
    }
    with h5py.File(path, "w") as file:
        for i, name in enumerate(names):
            file[name] = np.full((3, 3, 3, 1, 2), i, "f4")
        file["model_weights"].attrs["layer_names"] = ["conv3d"]
        file["optimizer_weights/iteration:0"] = 7
    with open_weights(path) as store:
        assert set(store) == {*names.values(), "optimizer_weights.iteration:0"}
        for i, name in enumerate(names.values()):
            assert (store[name] == i).all()
    with open_weights(path, prefix="model_weights.conv3d.") as store:
        assert set(store) == {"conv3d.kernel:0", "conv3d.bias:0"}
