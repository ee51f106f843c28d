"""What the tests of weights share: files made by the formats' own libraries, and the check a bad file must pass."""

import pickle
import struct
import tracemalloc
import zipfile
import zlib

import h5py
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.weights import pickle_cases
from volconv.errors import VolconvError, WeightsError
from volconv.values import Place, Values
from volconv.weights.generators import make_filters
from volconv.weights.store import open_weights


def make_tensors():
    """Return tensors of every numeric type, rank 0 to 5, one without elements."""
    rng = np.random.default_rng(7)
    return {
        "conv.weight": rng.normal(size=(4, 3, 3, 3, 3)).astype("f4"),
        "conv.bias": rng.normal(size=4),
        "half": rng.normal(size=(2, 5)).astype("f2"),
        "deep.er.steps": np.arange(-3, 4),
        "scale": np.array(2.5, "f4"),
        "none": np.zeros((0, 3), "f4"),
        **{f"ints.{t}": np.array([[1, 2], [3, 4]], t) for t in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")},
    }


def write_npz(path, tensors):
    np.savez(path, **tensors)


def write_npz_compressed(path, tensors):
    np.savez_compressed(path, **tensors)


def write_safetensors(path, tensors):
    save_file(tensors, path, metadata={"note": "from a test"})


def write_hdf5(path, tensors):
    with h5py.File(path, "w") as file:
        for key, value in tensors.items():
            file.create_dataset(key.replace(".", "/"), data=value)


def write_hdf5_chunked(path, tensors):
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for key, value in tensors.items():
            options = {"chunks": True, "compression": "gzip", "fletcher32": True} if value.size > 1 else {}
            file.create_dataset(key.replace(".", "/"), data=value, **options)


def write_torch(path, tensors):
    types = {dtype: name for name, dtype in STORAGES.items()}
    parts = {}
    for key, value in tensors.items():
        flat = {"key": key, "numel": value.size, "kind": types.get(value.dtype.name), "module": "torch"}
        if flat["kind"] is None:  # types that came with version 2.3
            flat |= {"kind": "UntypedStorage", "module": "torch.storage", "numel": value.nbytes}
        strides = tuple(step // value.itemsize for step in value.strides)
        dtype = value.dtype.name if flat["module"] == "torch.storage" else ""
        parts[key] = pickle_cases.tensor(pickle_cases.storage(**flat), 0, value.shape, strides, dtype)
    storages = {key: value.tobytes() for key, value in tensors.items()}
    path.write_bytes(pickle_cases.torch_zip(pickle_cases.state_dict(**parts), storages))


def write_onnx(path, tensors):
    onnx = pytest.importorskip("onnx")
    initialisers = [onnx.numpy_helper.from_array(value, key) for key, value in tensors.items()]
    path.write_bytes(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], initialisers)).SerializeToString())


STORAGES = {
    f"{name}Storage": dtype
    for name, dtype in (
        *(("Float", "float32"), ("Double", "float64"), ("Half", "float16"), ("Char", "int8"), ("Byte", "uint8")),
        *(("Short", "int16"), ("Int", "int32"), ("Long", "int64")),
    )
}

WRITERS = {
    **{f"pickle-{p}": lambda path, tensors, p=p: path.write_bytes(pickle.dumps(tensors, p)) for p in (3, 4, 5)},
    "torch": write_torch,
    "onnx": write_onnx,
    "npz": write_npz,
    "npz-compressed": write_npz_compressed,
    "safetensors": write_safetensors,
    "hdf5": write_hdf5,
    "hdf5-chunked": write_hdf5_chunked,
}


@pytest.fixture
def tensors():
    return make_tensors()


@pytest.fixture(params=list(WRITERS))
def written(request, tmp_path, tensors):
    """Return a file of `tensors` in each format; its name says nothing of it."""
    path = tmp_path / "weights.bin"
    WRITERS[request.param](path.with_suffix(".npz"), tensors)
    return path.with_suffix(".npz").rename(path)


def read_all(path):
    with open_weights(path) as store:
        store.describe()
        return {name: store[name] for name in store}


@pytest.fixture
def refused(tmp_path):
    """Return a function: the bytes must be refused with a `WeightsError` that holds `match`, at little memory."""

    def check(content, match, name="bad.bin"):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(WeightsError, match=match) as caught:
                read_all(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert caught.value.exit_code == 3
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1500
        assert peak < 10 * path.stat().st_size + (1 << 21)

    return check


@pytest.fixture
def filters():
    """Return a function: a generator's taps from keyword parameters."""

    def make(name, spacing_mm=None, ndim=3, **values):
        return make_filters(name, Values(values, place=Place("spec.yaml", 3, 5, "weight")), spacing_mm, ndim)

    return make


@pytest.fixture
def tolerant_read():
    """Return a function that reads all of a damaged file; anything but a `VolconvError` goes through."""

    def read(path):
        try:
            return read_all(path)
        except VolconvError:
            return None

    return read


def zip_bytes(members):
    """Return a zip archive by zipfile: name to bytes."""
    import io

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def raw_zip(members):
    """Return a zip archive whose fields may lie: dicts of name, data, and of fields to replace."""
    body, directory = b"", b""
    for member in members:
        data = member["data"]
        fields = {"flags": 0, "method": 0, "crc": zlib.crc32(data), "packed": len(data), "size": len(data)} | member
        name = member["name"].encode()
        common = struct.pack(
            "<4H3LH",
            fields["flags"],
            fields["method"],
            0,
            0,
            fields["crc"],
            fields["packed"],
            fields["size"],
            len(name),
        )
        begin = fields.get("begin", len(body))
        directory += b"PK\x01\x02" + struct.pack("<2H", 20, 20) + common + struct.pack("<4H2L", 0, 0, 0, 0, 0, begin)
        directory += name
        body += b"PK\x03\x04" + struct.pack("<H", 20) + common + struct.pack("<H", 0) + name + data
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return body + directory + end


@pytest.fixture
def zips():
    """Return the two makers of zip archives: honest and lying."""
    return zip_bytes, raw_zip


@pytest.fixture
def bfloat16():
    return ml_dtypes.bfloat16


@pytest.fixture
def npy_bytes():
    """Return a function: an ``.npy`` file with any header text."""

    def make(header, data=b"", version=1):
        text = header.encode("latin-1")
        length = len(text).to_bytes(2 if version == 1 else 4, "little")
        return b"\x93NUMPY" + bytes([version, 0]) + length + text + data

    return make


@pytest.fixture
def safetensors_bytes():
    """Return a function: a safetensors file with any header text."""

    def make(header, data=b"", length=None):
        text = header.encode() if isinstance(header, str) else header
        return (len(text) if length is None else length).to_bytes(8, "little") + text + data

    return make
