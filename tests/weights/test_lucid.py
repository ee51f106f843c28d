"""Lucid 3's files, by a pickler that writes tensors as Lucid's does; and its sharded folders."""

import io
import json
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from volconv.errors import MissingFileError, WeightsError
from volconv.weights.store import open_weights

STATE = OrderedDict(
    {
        "conv.weight": np.arange(54, dtype="f4").reshape(2, 1, 3, 3, 3),
        "conv.bias": np.arange(2, dtype="f8"),
        "half": np.arange(3, dtype="f2"),
        "count": np.array(7, "i8"),
    }
)


class LucidPickler(pickle.Pickler):
    """Writes arrays as Lucid writes its tensors: version 3, or the one before."""

    old = False

    def persistent_id(self, value):
        if not isinstance(value, np.ndarray):
            return None
        parts = (list(value.shape), value.dtype.name, "metal", value.tobytes())
        return ("tensor", *parts, str(value.dtype)) if self.old else ("tensor_v3", *parts)


def lucid_bytes(state, version=2, protocol=4, old=False):
    out = io.BytesIO()
    pickler = LucidPickler(out, protocol)
    pickler.old = old
    pickler.dump({"_lucid_format": version, "obj": state, "_state_dict_metadata": {"": {"version": 1}}})
    return out.getvalue()


def check(store, wanted=STATE):
    assert list(store) == list(wanted)
    for key, values in wanted.items():
        np.testing.assert_array_equal(store[key], values, strict=True)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(("version", "old"), [(2, False), (1, True)])
def test_lucid_files(tmp_path, protocol, version, old):
    path = tmp_path / "net.lucid"
    path.write_bytes(lucid_bytes(STATE, version, protocol, old))
    with open_weights(path) as store:
        assert store.format == "Lucid"
        check(store)


def test_lucids_bfloat16_is_half(tmp_path):
    path = tmp_path / "net.lucid"
    raw = lucid_bytes({"a": np.ones(2, "f2")}, protocol=3).replace(b"\x07\0\0\0float16", b"\x08\0\0\0bfloat16")
    path.write_bytes(raw)
    with open_weights(path) as store:
        assert store["a"].tolist() == [1, 1]
        assert store.info("a").dtype == "float16"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda raw: raw.replace(b"tensor_v3", b"tensor_v4"), "a reference to something else"),
        (lambda raw: raw.replace(b"float64", b"float99"), "unknown type"),
        (lambda raw: raw.replace(b"float64", b"float32"), r"16 bytes of numbers, expected 8"),
        (lambda raw: raw.replace(b"_lucid_format\x94K\x02", b"_lucid_format\x94K\x05"), "Lucid's _lucid_format 1 or 2"),
    ],
)
def test_files_that_lie(refused, change, match):
    raw = lucid_bytes(STATE)
    assert change(raw) != raw
    refused(change(raw), match)


@pytest.fixture
def folder(tmp_path):
    """Return a sharded folder as Lucid writes it."""
    out = tmp_path / "sharded"
    out.mkdir()
    shards = []
    for i, part in enumerate((["conv.weight"], ["conv.bias", "half", "count"])):
        file = f"shard-{i:05d}-of-00002.lucid"
        (out / file).write_bytes(lucid_bytes(OrderedDict((key, STATE[key]) for key in part)))
        shards.append({"file": file, "keys": part})
    (out / "index.json").write_text(json.dumps({"_lucid_sharded": 1, "shards": shards}, indent=2))
    return out


def test_sharded_folders(folder):
    for path in (folder, folder / "index.json"):
        with open_weights(path) as store:
            assert store.format == "Lucid (sharded)"
            assert store.path == path
            assert {part.name for part in store.paths} == {path.name for path in folder.iterdir()}
            check(store)
            digest = store.digest()
    shard = folder / "shard-00001-of-00002.lucid"
    shard.write_bytes(shard.read_bytes().replace(STATE["half"].tobytes(), bytes(6)))
    with open_weights(folder) as store:
        assert store.digest() != digest
        assert not store["half"].any()
    with pytest.raises(WeightsError, match="closed"):
        store["half"]


def test_other_folders_are_none(tmp_path):
    with pytest.raises(MissingFileError, match="found a folder"):
        open_weights(tmp_path)


def rewrite(folder, change):
    index = json.loads((folder / "index.json").read_text())
    change(index["shards"])
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../secret.lucid", "a/../../secret.lucid", "..", ".", "", "a//b", "x\0y", "..\\secret.lucid"],
)
def test_shards_out_of_the_folder(folder, name):
    (folder.parent / "secret.lucid").write_bytes(lucid_bytes({"a": np.ones(1)}))
    rewrite(folder, lambda shards: shards[0].update(file=name))
    with pytest.raises(WeightsError, match="out of its folder"):
        open_weights(folder)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_shards_that_are_links(folder, link):
    secret = folder.parent / "secret.lucid"
    secret.write_bytes(lucid_bytes({"a": np.ones(1)}))
    link(secret, folder / "linked.lucid")
    rewrite(folder, lambda shards: shards[0].update(file="linked.lucid"))
    with pytest.raises(WeightsError, match=r"a link|hard links"):
        open_weights(folder)


def test_shards_below_a_linked_folder(folder):
    other = folder.parent / "other"
    other.mkdir()
    (other / "a.lucid").write_bytes(lucid_bytes({"a": np.ones(1)}))
    (folder / "inner").symlink_to(other)
    rewrite(folder, lambda shards: shards[0].update(file="inner/a.lucid"))
    with pytest.raises(WeightsError, match="a link"):
        open_weights(folder)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda shards: shards.append(dict(shards[0])), "all different"),
        (lambda shards: shards[0].pop("file"), "a file for each"),
        (lambda shards: shards[0].update(file=7), "a file for each"),
        (lambda shards: shards[0].update(file="gone.lucid"), "missing"),
        (lambda shards: shards[0].update(file="index.json"), "no Lucid file"),
        (lambda shards: shards.append({"file": "copy.lucid"}), "two tensors of this name"),
    ],
)
def test_indices_that_lie(folder, change, match):
    (folder / "copy.lucid").write_bytes((folder / "shard-00000-of-00002.lucid").read_bytes())
    rewrite(folder, change)
    with pytest.raises(WeightsError, match=match):
        open_weights(folder)


@pytest.mark.parametrize(
    "text",
    [
        '{"_lucid_sharded": 1',
        '{"_lucid_sharded": 2, "shards": []}',
        '{"_lucid_sharded": 1, "shards": 7}',
        '{"_lucid_sharded": ' + "[" * 100_000,
        '{"_lucid_sharded": ' + "9" * 10_000 + "}",
    ],
)
def test_indices_that_are_none(folder, text):
    (folder / "index.json").write_text(text)
    with pytest.raises(WeightsError, match="Lucid index"):
        open_weights(folder)
