"""ONNX initialisers: what the onnx package writes is what is read; data in other files stays below the folder."""

import builtins
import os
import random

import numpy as np
import pytest

from volconv.errors import VolconvError, WeightsError
from volconv.weights.store import open_weights

onnx = pytest.importorskip("onnx", reason="the extra volconv[onnx] is not installed")
T = onnx.TensorProto


def model_bytes(*tensors):
    graph = onnx.helper.make_graph([], "g", [], [], list(tensors))
    return onnx.helper.make_model(graph).SerializeToString()


@pytest.fixture
def opened(tmp_path):
    def read(*tensors):
        path = tmp_path / "net.onnx"
        path.write_bytes(model_bytes(*tensors))
        with open_weights(path) as store:
            return {key: (store.info(key), store[key]) for key in store}

    return read


VALUES = [[0, 1, 2], [3, 4, 5]]
TYPES = {
    **{name: getattr(T, name.upper()) for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")},
    "uint64": T.UINT64,
    "float16": T.FLOAT16,
    "float32": T.FLOAT,
    "float64": T.DOUBLE,
    "bfloat16": T.BFLOAT16,
    "float8_e4m3fn": T.FLOAT8E4M3FN,
    "float8_e5m2": T.FLOAT8E5M2,
}


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("name", TYPES)
def test_every_type_raw_or_not(opened, name, raw):
    from volconv.weights.base import make_dtype

    values = np.array(VALUES).astype(make_dtype(name))
    plain = onnx.helper.make_tensor("a", TYPES[name], values.shape, np.array(VALUES, "f4").ravel().tolist())
    tensor = onnx.helper.make_tensor("a", TYPES[name], values.shape, values.tobytes(), raw=True) if raw else plain
    info, found = opened(tensor)["a"]
    assert (info.shape, info.dtype) == ((2, 3), name)
    assert found.astype("f8").tolist() == VALUES


def test_negative_numbers_in_the_field_of_other_types(opened):
    for code, dtype in ((T.INT8, "i1"), (T.INT16, "i2")):
        assert opened(onnx.helper.make_tensor("a", code, (2,), [-3, 5]))["a"][1].tolist() == [-3, 5]
        assert opened(onnx.helper.make_tensor("a", code, (2,), [-3, 5]))["a"][1].dtype == dtype


def test_texts_are_left_out_and_flags_listed(tmp_path):
    path = tmp_path / "net"
    text = onnx.helper.make_tensor("s", T.STRING, (1,), [b"a"])
    flag = onnx.numpy_helper.from_array(np.array([True]), "b")
    path.write_bytes(model_bytes(text, flag))
    with open_weights(path) as store:
        assert store.describe() == [("b", (1,), "bool")]


@pytest.fixture
def folder(tmp_path):
    out = tmp_path / "model"
    (out / "inner").mkdir(parents=True)
    content = bytes(8) + np.arange(4, dtype="<f4").tobytes()
    for place in (out / "data.bin", out / "inner" / "data.bin", tmp_path / "secret.bin"):
        place.write_bytes(content)
    return out


def write_external(folder, location="data.bin", **fields):
    tensor = T(name="a", data_type=T.FLOAT, dims=(4,), data_location=T.EXTERNAL)
    for key, value in ({"location": location, "offset": "8", "length": "16"} | fields).items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    path = folder / "net.onnx"
    path.write_bytes(model_bytes(tensor))
    return path


@pytest.mark.parametrize("location", ["data.bin", "inner/data.bin"])
@pytest.mark.parametrize("length", ["16", None])
def test_external_data_beside_the_model(folder, location, length):
    path = write_external(folder, location, length=length)
    with open_weights(path) as store:
        assert store["a"].tolist() == [0, 1, 2, 3]
        assert store.paths == (path, folder / location)
        digest = store.digest()
    (folder / location).write_bytes(bytes(24))
    with open_weights(path) as store:
        assert store.digest() != digest


def test_external_data_as_the_package_writes_it(folder):
    values = {"a": np.arange(3000, dtype="f4"), "b": np.ones((2, 2))}
    initialisers = [onnx.numpy_helper.from_array(value, key) for key, value in values.items()]
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], initialisers))
    onnx.save(model, folder / "big.onnx", save_as_external_data=True, location="big.data", size_threshold=0)
    with open_weights(folder / "big.onnx") as store:
        for key, wanted in values.items():
            np.testing.assert_array_equal(store[key], wanted)


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "inner/../../secret.bin", "/etc/passwd", "", ".", "..", "a\0b", "..\\secret.bin", "//x"],
)
def test_external_data_out_of_the_folder(folder, location):
    with pytest.raises(WeightsError, match="out of its folder"):
        open_weights(write_external(folder, location))


def test_external_data_behind_links(folder):
    secret = folder.parent / "secret.bin"
    (folder / "soft").symlink_to(secret)
    (folder / "up").symlink_to(folder.parent)
    os.link(secret, folder / "hard")
    os.mkfifo(folder / "pipe")
    for location, match in (
        ("soft", "a link"),
        ("up/secret.bin", "a link"),
        ("hard", "hard links"),
        ("gone.bin", "missing"),
        ("inner", "folder|missing|hard links"),
        ("pipe", "named pipe"),
    ):
        with pytest.raises(WeightsError, match=match):
            open_weights(write_external(folder, location))


@pytest.mark.parametrize(
    "fields",
    [
        {"offset": "-1"},
        {"offset": "9"},
        {"offset": str(2**63)},
        {"offset": "9" * 5000},
        {"offset": "0x8"},
        {"offset": ""},
        {"length": "-16"},
        {"length": "15"},
        {"length": str(10**15)},
        {"length": "1e9"},
        {"location": None},
    ],
)
def test_external_places_that_lie(folder, fields):
    with pytest.raises(WeightsError, match="ONNX: found"):
        open_weights(write_external(folder, **fields))


def lying(**fields):
    tensor = onnx.helper.make_tensor("a", T.FLOAT, (4,), [1, 2, 3, 4])
    for key, value in fields.items():
        if isinstance(value, list):
            del getattr(tensor, key)[:]
            getattr(tensor, key).extend(value)
        else:
            setattr(tensor, key, value)
    return model_bytes(tensor)


def test_names_that_are_no_text(refused, folder):
    refused(lying(name="NAME").replace(b"NAME", b"NA\xff\xfe"), "no UTF-8")
    path = write_external(folder, "data.bin")
    refused(path.read_bytes().replace(b"data.bin", b"data.\xff\xfen"), "external data without a place")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (lying(dims=[5]), "16 bytes of numbers, expected 20"),
        (lying(dims=[3]), "expected 12"),
        (lying(dims=[-4]), "sizes that no tensor has"),
        (lying(dims=[2**62, 2**62, 4]), "sizes that no tensor has"),
        (lying(dims=[1] * 33), "33 sizes"),
        (lying(raw_data=b"abc"), "3 bytes of numbers"),
        (lying(data_type=99), "no initialisers"),
        (lying(data_type=0), "no initialisers"),
        (model_bytes(), "no initialisers"),
        (lying()[:-3], "damaged message"),
        (model_bytes(*[onnx.helper.make_tensor("a", T.FLOAT, (1,), [1])] * 2), "two tensors of this name"),
        (b"\x08\x08\x12\x07pytorch", "no initialisers"),
        (b"\x08\x08" + b"\x3a\xff\xff\xff\xff\x0f", "damaged message"),
        (b"\x08\x08" + b"\x3a\x04\x3a\x02\x3a\x00" * 1000, "damaged message|no initialisers"),
    ],
)
def test_models_that_lie(refused, content, match):
    refused(content, match)


def test_a_part_of_a_tensor(refused):
    tensor = onnx.helper.make_tensor("a", T.FLOAT, (1,), [1])
    tensor.segment.begin = 0
    tensor.segment.end = 1
    refused(model_bytes(tensor), "a part of a tensor")


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(lying())
    load = builtins.__import__

    def without(name, *rest, **more):
        if name == "onnx":
            raise ImportError(name)
        return load(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(WeightsError, match=r"pip install 'volconv\[onnx\]'"):
        open_weights(path)


def test_mutations(tmp_path):
    chance = random.Random(4)
    content = lying() + onnx.helper.make_tensor("b", T.INT8, (2,), [1, 2]).SerializeToString()
    path = tmp_path / "a"
    for _ in range(800):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 2, 4))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            with open_weights(path) as store:
                for key, info in [(key, store.info(key)) for key in store]:
                    if info.is_numeric:
                        store[key]
        except VolconvError:
            pass
