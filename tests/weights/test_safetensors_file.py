"""safetensors: the library writes; headers that lie are refused."""

import json
import os

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from volconv.errors import WeightsError
from volconv.weights.store import open_weights


def test_bfloat16_and_eight_bit_floats(tmp_path):
    path = tmp_path / "model.pth"
    wanted = {
        name: np.array([[0.5, -1.75], [3, 0]], dtype)
        for name, dtype in (("b", ml_dtypes.bfloat16), ("e4", ml_dtypes.float8_e4m3fn), ("e5", ml_dtypes.float8_e5m2))
    }
    codes = {"b": "BF16", "e4": "F8_E4M3", "e5": "F8_E5M2"}
    header, data = {}, b""
    for name, array in wanted.items():
        header[name] = {"dtype": codes[name], "shape": [2, 2], "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    with safe_open(path, "np") as other:
        assert set(other.keys()) == set(wanted)
    with open_weights(path) as store:
        for name, array in wanted.items():
            assert store.info(name).dtype == array.dtype.name
            assert store[name].tolist() == array.tolist()


def test_types_that_are_no_real_numbers_are_listed(tmp_path, refused):
    path = tmp_path / "bad.bin"
    save_file({"flag": np.array([True])}, path)
    with open_weights(path) as store:
        assert store.describe() == [("flag", (1,), "bool")]
    refused(None, "type bool")


def test_spaces_behind_the_header_and_no_tensors(tmp_path, safetensors_bytes):
    path = tmp_path / "a"
    for header in ("{}", "{}      ", '{"__metadata__":{"a":"b"}}'):
        path.write_bytes(safetensors_bytes(header))
        with open_weights(path) as store:
            assert len(store) == 0


def entry(dtype="F32", shape=(2,), offsets=(0, 8), name="a"):
    return (
        f'"{name}":{{"dtype":"{dtype}","shape":{json.dumps(list(shape))},"data_offsets":{json.dumps(list(offsets))}}}'
    )


EIGHT = bytes(8)


@pytest.mark.parametrize(
    ("header", "data", "match"),
    [
        ("{" + entry() + "}", EIGHT + b"x", "9 bytes of numbers"),
        ("{" + entry() + "}", EIGHT[:-1], "offsets in 0 to 7"),
        ("{" + entry(offsets=(4, 12)) + "}", bytes(12), "a hole"),
        ("{" + entry() + "," + entry(name="b", offsets=(4, 12)) + "}", bytes(12), "an overlap"),
        ("{" + entry() + "," + entry(name="b", offsets=(0, 8)) + "}", EIGHT, "an overlap"),
        ("{" + entry() + "," + entry(name="b", offsets=(16, 24)) + "}", bytes(24), "a hole"),
        ("{" + entry() + "," + entry(offsets=(8, 16)) + "}", bytes(16), "two tensors"),
        ("{" + entry(offsets=(8, 0)) + "}", EIGHT, "offsets in 0"),
        ("{" + entry(offsets=(-8, 0)) + "}", EIGHT, "two offsets"),
        ("{" + entry(offsets=(0, 2**63)) + "}", EIGHT, "two offsets"),
        ("{" + entry(offsets=(0, 8, 8)) + "}", EIGHT, "two offsets"),
        ("{" + entry(offsets=(0.0, 8.0)) + "}", EIGHT, "two offsets"),
        ("{" + entry(offsets=(False, 8)) + "}", EIGHT, "two offsets"),
        ("{" + entry(shape=(3,)) + "}", EIGHT, "12 for F32"),
        ("{" + entry(shape=(-2,)) + "}", EIGHT, "list of at most 32 sizes"),
        ("{" + entry(shape=(2**62, 2**62, 4)) + "}", EIGHT, "found 8 bytes"),
        ("{" + entry(shape=(2**32, 2**32, 0)) + "}", EIGHT, "found 8 bytes"),
        ("{" + entry(shape=(True, 2)) + "}", EIGHT, "sizes"),
        ("{" + entry(shape=(1,) * 33 + (2,)) + "}", EIGHT, "sizes"),
        ("{" + entry(dtype="F128") + "}", EIGHT, "dtype 'F128'"),
        ("{" + entry(dtype="f32") + "}", EIGHT, "dtype 'f32'"),
        ("{" + entry(dtype="F4", shape=(3,), offsets=(0, 2)) + "}", bytes(2), "1.5 for F4"),
        ('{"a":{"dtype":"F32","shape":[2]}}', EIGHT, "data_offsets"),
        ('{"a":{"dtype":32,"shape":[2],"data_offsets":[0,8]}}', EIGHT, "dtype 32"),
        ('{"a":{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}}', EIGHT, "two tensors"),
        ('{"a":[1,2]}', EIGHT, "an object with dtype"),
        ('{"a":null}', EIGHT, "an object with dtype"),
        ('{"__metadata__":{"a":1}}', b"", "object of strings"),
        ('{"__metadata__":7}', b"", "object of strings"),
        ('{"a":', b"", "damaged JSON"),
        ('{"a":NaN}', b"", "damaged JSON"),
        ('{"a":1e400}', b"", "an object with dtype"),
        ('{"a":' + "9" * 5000 + "}", b"", "damaged JSON"),
        ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", b"", "damaged JSON"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, b"", "damaged JSON"),
        (b'{"\xff\xfe":1}', b"", "damaged JSON"),
        ('{"a":1} {"b":2}', b"", "damaged JSON"),
    ],
)
def test_headers_that_lie_are_refused(refused, safetensors_bytes, header, data, match):
    refused(safetensors_bytes(header, data), match)


def test_more_than_memory_holds(tmp_path, safetensors_bytes):
    """The file is sparse: it has the length its header says and hardly a byte on the disk."""
    count = 1 << 38
    path = tmp_path / "a.safetensors"
    header = {"a": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}
    path.write_bytes(safetensors_bytes(json.dumps(header)))
    os.truncate(path, path.stat().st_size + 4 * count)
    with open_weights(path) as store, pytest.raises(WeightsError, match="cannot be had") as caught:
        store["a"]
    assert caught.value.code == "weights.memory"


@pytest.mark.parametrize("length", [1, 3, 2**24, 2**24 + 1, 2**31, 2**55, 2**63, 2**64 - 1])
def test_header_lengths(refused, safetensors_bytes, length):
    refused(safetensors_bytes("{}", length=length), "a header of|damaged JSON")


def test_control_characters_in_names_are_shown_as_escapes(refused, safetensors_bytes):
    refused(safetensors_bytes('{"\\u001b[31m\\n":{}}'), r"\\x1b\[31m\\n")


def test_lucids_scalars_have_no_axes_again(tmp_path):
    path = tmp_path / "lucid.safetensors"
    tensors = {"a": np.ones(1, "f4"), "b": np.ones(1, "f4"), "c": np.ones(2, "f4")}
    save_file(tensors, path, metadata={"__lucid_scalar_keys__": "a,c,gone"})
    with open_weights(path) as store:
        assert {key: store[key].shape for key in store} == {"a": (), "b": (1,), "c": (2,)}
        assert store.info("a").shape == ()
