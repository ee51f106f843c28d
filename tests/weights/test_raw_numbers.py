"""TensorFlow.js models and MeshNet's raw numbers: found from either file, decoded, and refused where they lie."""

import json
import os
import random
import time

import numpy as np
import pytest

from tests.weights.raw_cases import group_of, write_model
from volconv.api.inspect_file import inspect
from volconv.errors import WeightsError
from volconv.weights.store import open_weights

RNG = np.random.default_rng(3)
TENSORS = {
    "conv/kernel": RNG.standard_normal((3, 3, 1, 2, 4)).astype("f4"),
    "conv/bias": RNG.standard_normal(4).astype("f4"),
    "steps": np.array([-5, 2**31 - 1], "i4"),
    "half": np.array([0.5, -2], "f2"),
    "byte": np.array([[0, 255]], "u1"),
    "none": np.zeros((0, 3), "f4"),
    "scalar": np.array(2.5, "f4"),
    "flag": np.array([True, False, True]),
    "pair": np.array([1 + 2j], "c8"),
}
UNREAD = ("flag", "pair")


def check(path, wanted=TENSORS, count=None):
    with open_weights(path) as store:
        assert (store.format, store.layout) == ("TensorFlow.js", "keras")
        assert list(store) == [name.replace("/", ".") for name in wanted]
        for name, values in wanted.items():
            key = name.replace("/", ".")
            assert (store.info(key).shape, store.info(key).dtype) == (values.shape, values.dtype.name)
            if name in UNREAD:
                with pytest.raises(WeightsError, match="expected real numbers"):
                    store[key]
            else:
                np.testing.assert_array_equal(store[key], values, strict=True)
        if count is not None:
            assert len(store.paths) == len(set(store.paths)) == count
        return store.digest()


@pytest.mark.parametrize("shard", [7, 100, 10_000])
def test_groups_and_shards(tmp_path, shard):
    names = list(TENSORS)
    groups = [{name: TENSORS[name] for name in part} for part in (names[:2], names[2:5], names[5:])]
    path = write_model(tmp_path, groups, shard)
    files = len(list(tmp_path.iterdir()))
    check(path, count=files)
    # Any of its files leads to the whole model.
    for part in sorted(tmp_path.glob("*.bin"))[:3]:
        check(part, count=files)


def test_a_manifest_by_itself(tmp_path):
    path = write_model(tmp_path, [TENSORS])
    manifest = json.loads(path.read_text())["weightsManifest"]
    path.unlink()
    (tmp_path / "weights_manifest.json").write_text(json.dumps(manifest))
    check(tmp_path / "weights_manifest.json")
    check(next(tmp_path.glob("*.bin")))


def test_the_named_file_is_missing_and_one_other_fits(tmp_path):
    path = write_model(tmp_path, [TENSORS], shard=10_000)
    (tmp_path / "group1-shard1of1.bin").rename(tmp_path / "model.bin")
    (tmp_path / "other.bin").write_bytes(b"1234")
    assert check(path, count=2) != check(tmp_path / "model.bin", count=2)
    found = inspect(tmp_path / "model.bin")
    assert (found["kind"], found["format"]) == ("weights", "TensorFlow.js")
    assert found["bytes"] == path.stat().st_size + (tmp_path / "model.bin").stat().st_size
    assert inspect(path)["tensors"] == found["tensors"]
    with pytest.raises(WeightsError, match="unknown format"):
        open_weights(tmp_path / "other.bin")
    (tmp_path / "twin.bin").write_bytes((tmp_path / "model.bin").read_bytes())
    with pytest.raises(WeightsError, match=r"no file 'group1-shard1of1.bin', and 2 files \.bin of \d+ bytes"):
        open_weights(path)
    for name in ("model.bin", "twin.bin"):
        (tmp_path / name).unlink()
    with pytest.raises(WeightsError, match=r"and 0 files \.bin"):
        open_weights(path)


def test_the_document_called_model_goes_first(tmp_path):
    path = write_model(tmp_path, [TENSORS], shard=10_000)
    other = json.loads(path.read_text())
    other["weightsManifest"][0]["weights"][0]["name"] = "another"
    (tmp_path / "a.json").write_text(json.dumps(other))
    check(tmp_path / "group1-shard1of1.bin")
    path.unlink()
    with open_weights(tmp_path / "group1-shard1of1.bin") as store:
        assert next(iter(store)) == "another"


@pytest.mark.parametrize("code", ["uint8", "uint16", "float16"])
def test_quantised_floats(tmp_path, code):
    values = RNG.standard_normal((700, 100)).astype("f4")
    tensors = {"w": values, "same": np.full(3, 0.25, "f4"), "plain": values[0]}
    path = write_model(tmp_path, [tensors], 50_000, {"w": code, "same": code})
    with open_weights(path) as store:
        assert store.info("w").dtype == "float32"
        assert store.info("w").nbytes == values.nbytes
        step = np.ptp(values) / (255 if code == "uint8" else 65535)
        bound = np.abs(values).max() * 2.0**-11 if code == "float16" else step
        assert np.abs(store["w"] - values).max() <= bound
        assert store["w"].dtype == np.float32
        np.testing.assert_array_equal(store["plain"], values[0])
        np.testing.assert_array_equal(store["same"], tensors["same"])


def test_quantised_numbers_are_those_of_the_browser(tmp_path):
    """``decodeWeights``: v · scale + min in double precision; int32 by Math.round, which rounds halves up."""
    said = {"dtype": "uint8", "scale": 0.5, "min": -2.5}
    weights = [
        {"name": "whole", "shape": [4], "dtype": "int32", "quantization": said},
        {"name": "real", "shape": [4], "dtype": "float32", "quantization": said | {"scale": 0.1}},
    ]
    codes = np.array([0, 1, 4, 255], "u1")
    (tmp_path / "a.bin").write_bytes(codes.tobytes() * 2)
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"weightsManifest": [{"paths": ["a.bin"], "weights": weights}]}))
    with open_weights(path) as store:
        assert store["whole"].tolist() == [-2, -2, 0, 125]
        np.testing.assert_array_equal(store["real"], (codes * 0.1 - 2.5).astype("f4"))


LAYERS = [
    {"in_channels": 1, "out_channels": 5, "kernel_size": 3, "padding": 1},
    {"in_channels": 5, "out_channels": 2, "kernel_size": 1},
]


@pytest.mark.parametrize("bias", [True, False])
def test_the_layers_of_a_meshnet(tmp_path, bias):
    numbers = np.arange(135 + 10 + 7 * bias, dtype="<f4")
    (tmp_path / "weights.bin").write_bytes(numbers.tobytes())
    (tmp_path / "net.json").write_text(json.dumps({"header": "x", "bias": bias, "layers": LAYERS}))
    for name in ("weights.bin", "net.json"):
        with open_weights(tmp_path / name) as store:
            assert (store.format, store.layout) == ("MeshNet (raw)", "")
            assert {key: store[key].size for key in store if "weight" in key} == {
                "layers.0.weight": 135,
                "layers.1.weight": 10,
            }
            np.testing.assert_array_equal(np.concatenate([store[key] for key in store]), numbers)
    with open_weights(tmp_path / "net.json") as store:
        assert ("layers.1.bias" in store) == bias


ENTRY = {"name": "w", "shape": [2], "dtype": "float32"}
CODES = {"dtype": "uint8", "scale": 1.0, "min": 0.0}


def manifest(*weights, paths=("a.bin",)):
    return {"weightsManifest": [{"paths": list(paths), "weights": list(weights)}]}


def paths(*names):
    return manifest(ENTRY, paths=names)


BAD = {
    "up": (paths("../a.bin"), "out of its folder"),
    "up, hidden": (paths("sub/../../a.bin"), "out of its folder"),
    "absolute": (paths("/etc/passwd"), "out of its folder"),
    "an address": (paths("https://example.org/a.bin"), "out of its folder"),
    "backslashes": (paths("..\\a.bin"), "out of its folder"),
    "a line break": (paths("a\nb"), "out of its folder"),
    "a NUL": (paths("a\0b"), "out of its folder"),
    "itself": (paths("."), "out of its folder"),
    "no name": (paths(""), "out of its folder"),
    "a link": (paths("link.bin"), "link"),
    "a hard link": (paths("hard.bin"), "hard links"),
    "a link in the way": (paths("away/passwd"), "link"),
    "a folder": (paths("folder"), "folder|regular"),
    "one of two is missing": (paths("a.bin", "b.bin"), "no file 'b.bin'"),
    "missing, and none fits": (paths("b.bin"), "no file 'b.bin', and 2 files .bin of 8 bytes"),
    "twice the same": (paths("a.bin", "a.bin"), "16 bytes in a.bin, a.bin, expected 8"),
    "many files": (paths(*["a.bin"] * 600), "600 files, expected at most 512"),
    "too short": (manifest({**ENTRY, "shape": [3]}), "8 bytes in a.bin, expected 12"),
    "too long": (manifest({**ENTRY, "shape": [1]}), "8 bytes in a.bin, expected 4"),
    "2^62 elements": (manifest({**ENTRY, "shape": [2**62]}), "shape"),
    "2^64 elements": (manifest({**ENTRY, "shape": [2**32, 2**32]}), "shape"),
    "2^64 and none": (manifest({**ENTRY, "shape": [2**62, 2**62, 0]}), "bytes in a.bin, expected 0"),
    "a petabyte": (manifest({**ENTRY, "shape": [2**39]}), "bytes in a.bin"),
    "a negative size": (manifest({**ENTRY, "shape": [-1, -2]}), "shape"),
    "a size with a point": (manifest({**ENTRY, "shape": [2.0]}), "shape"),
    "a size that is a flag": (manifest({**ENTRY, "shape": [True, 2]}), "shape"),
    "33 axes": (manifest({**ENTRY, "shape": [1] * 33}), "shape"),
    "no shape": (manifest({"name": "w", "dtype": "float32"}), "a weight"),
    "a shape of text": (manifest({**ENTRY, "shape": "22"}), "shape"),
    "text": (manifest({**ENTRY, "dtype": "string"}), "only its content tells"),
    "an unknown type": (manifest({**ENTRY, "dtype": "int64"}), "dtype 'int64'"),
    "a type that is a list": (manifest({**ENTRY, "dtype": ["float32"]}), "dtype"),
    "a type that is an object": (manifest({**ENTRY, "dtype": {}}), "dtype"),
    "no name at all": (manifest({**ENTRY, "name": ""}), "the name"),
    "a name that is a number": (manifest({**ENTRY, "name": 7}), "the name"),
    "a long name": (manifest({**ENTRY, "name": "a" * 2000}), "the name"),
    "two of a name": (
        manifest({**ENTRY, "name": "a/b", "shape": [1]}, {**ENTRY, "name": "a.b", "shape": [1]}),
        "two tensors",
    ),
    "quantised by nothing": (manifest({**ENTRY, "quantization": {}}), "quantised as"),
    "quantised by text": (manifest({**ENTRY, "quantization": "uint8"}), "quantised as"),
    "quantised by a list": (manifest({**ENTRY, "quantization": {**CODES, "dtype": []}}), "quantised as"),
    "quantised by int4": (manifest({**ENTRY, "quantization": {**CODES, "dtype": "int4"}}), "quantised as"),
    "quantised flags": (manifest({**ENTRY, "dtype": "bool", "quantization": CODES}), "quantised as"),
    "halves of int32": (manifest({**ENTRY, "dtype": "int32", "quantization": {"dtype": "float16"}}), "quantised as"),
    "no scale": (manifest({**ENTRY, "quantization": {"dtype": "uint8", "min": 0}}), "scale"),
    "a scale of text": (manifest({**ENTRY, "quantization": {**CODES, "scale": "1"}}), "scale"),
    "an infinite scale": (manifest({**ENTRY, "quantization": {**CODES, "scale": 10**330}}), "manifest|JSON"),
    "beyond int32": (manifest({**ENTRY, "dtype": "int32", "quantization": {**CODES, "scale": 1e300}}), "manifest"),
    "no groups": ({"weightsManifest": []}, "no tensors"),
    "a group that is none": ({"weightsManifest": [7]}, "a group"),
    "a group without files": ({"weightsManifest": [{"weights": [ENTRY]}]}, "a group"),
    "files that are numbers": ({"weightsManifest": [{"paths": [7], "weights": [ENTRY]}]}, "a group"),
    "weights that are none": ({"weightsManifest": [{"paths": ["a.bin"], "weights": [7]}]}, "a weight"),
    "an object for groups": ({"weightsManifest": {"0": 1}}, "no list of groups"),
    "deeper than it says": ({"a": {"weightsManifest": []}}, "no list of groups"),
    "no JSON": (b'{"weightsManifest": [', "no JSON"),
    "no JSON at all": (b'{"weightsManifest"', "no JSON"),
    "two manifests": (b'{"weightsManifest": [], "weightsManifest": []}', "two values"),
    "layers without sizes": ({"layers": [{"in_channels": -1, "out_channels": 1, "kernel_size": 1}]}, "-1, 1, 1"),
    "huge layers": (
        {"layers": [{"in_channels": 2**19, "out_channels": 2**19, "kernel_size": 2**19}]},
        "shape",
    ),
    "other layers": ({"layers": [{"in_channels": 1, "out_channels": 1, "kernel_size": 9}]}, "0 files .bin of 2920"),
    "a layer that is none": ({"layers": [{"in_channels": 1, "out_channels": 1, "kernel_size": 1}, 7]}, "layers.1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_documents_that_lie(tmp_path, refused, tolerant_read, kind):
    content, match = BAD[kind]
    (tmp_path / "a.bin").write_bytes(np.arange(2, dtype="<f4").tobytes())
    (tmp_path / "link.bin").symlink_to("a.bin")
    (tmp_path / "away").symlink_to("/etc")
    (tmp_path / "folder").mkdir()
    (tmp_path / "twin").write_bytes(b"12345678")
    os.link(tmp_path / "twin", tmp_path / "hard.bin")
    refused(content if isinstance(content, bytes) else json.dumps(content).encode(), match, "model.json")
    # So does the file that it may speak of.
    assert tolerant_read(tmp_path / "a.bin") is None


def test_a_document_that_is_a_link_is_not_followed(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    path = write_model(inner, [TENSORS], shard=10_000)
    numbers = inner / "group1-shard1of1.bin"
    path.rename(tmp_path / "model.json")
    path.symlink_to(tmp_path / "model.json")
    with pytest.raises(WeightsError, match="unknown format"):
        open_weights(numbers)


@pytest.mark.slow
def test_a_folder_of_large_documents(tmp_path, tolerant_read):
    """They are looked at until it is enough."""
    for number in range(8):
        (tmp_path / f"{number}.json").write_bytes(b'{"a":[' + b"[]," * 5_000_000 + b'[]],"weightsManifest":[]}')
    (tmp_path / "a.bin").write_bytes(b"12345678")
    start = time.process_time()
    assert tolerant_read(tmp_path / "a.bin") is None
    assert time.process_time() - start < 60


def test_a_pipe_is_not_waited_for(tmp_path, tolerant_read):
    os.mkfifo(tmp_path / "a.bin")
    (tmp_path / "model.json").write_text(json.dumps(manifest(ENTRY)))
    assert tolerant_read(tmp_path / "model.json") is None


@pytest.mark.slow
def test_many_tensors_of_nothing(tmp_path, refused):
    weights = [{"name": str(i), "shape": [0], "dtype": "bool"} for i in range(30_000)]
    (tmp_path / "a.bin").write_bytes(b"")
    refused(json.dumps(manifest(*weights)).encode(), "unfolds to many times", "model.json")


def test_many_tensors_of_something(tmp_path):
    tensors = {f"layer{i}/kernel": np.full((3, 3, 3, 4), i, "f4") for i in range(5000)}
    path = write_model(tmp_path, [tensors], 1 << 20)
    with open_weights(path) as store:
        assert len(store) == 5000
        assert (store["layer4321.kernel"] == 4321).all()


def test_mutations(tmp_path, tolerant_read):
    """Bytes of the document are flipped, repeated, removed: tensors of its size, or one clear error."""
    tensors = {"conv/kernel": TENSORS["conv/kernel"], "q": TENSORS["conv/bias"]}
    path = write_model(tmp_path, [tensors], 100, {"q": "uint8"})
    content, chance = path.read_bytes(), random.Random(7)
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 1, 3))):
            at = chance.randrange(content.index(b"weightsManifest"), len(damaged))
            match chance.randrange(4):
                case 0:
                    damaged[at] ^= 1 << chance.randrange(8)
                case 1:
                    damaged[at : at + 1] = chance.choice((b"9", b"-", b"[", b"]", b"{", b'"', b",", b"e99", b"null"))
                case 2:
                    del damaged[at : at + chance.randrange(1, 6)]
                case 3:
                    damaged[at:at] = damaged[at : at + chance.randrange(1, 40)]
        path.write_bytes(damaged)
        for part in (path, *tmp_path.glob("*1of*.bin")):
            for key, values in (tolerant_read(part) or {}).items():
                assert values.nbytes <= 4000, key


def test_raw_bytes_by_themselves(refused):
    refused(group_of(TENSORS)[1], "unknown format, expected .*TensorFlow.js")
