"""PyTorch's own files: what it wrote is what is read; and, where it is installed, whatever it writes."""

import random
from pathlib import Path

import numpy as np
import pytest

from tests.weights.pickle_cases import (
    SIXTEEN,
    call,
    items,
    name,
    number,
    numbers,
    state_dict,
    storage,
    tensor,
    text,
    torch_legacy,
    torch_zip,
    tup,
    whole,
)
from volconv.weights.missing import MissingTensorError
from volconv.weights.store import get_tensor, open_weights

FIXTURES = Path(__file__).parent / "fixtures"
VIEWS = [f"views_p{p}.pt" for p in (2, 3, 4, 5)] + ["views_legacy_p2.pt", "views_legacy_p4.pt"]


def expected(kind):
    with np.load(FIXTURES / "expected.npz") as file:
        return {key.removeprefix(f"{kind}/"): file[key] for key in file if key.startswith(f"{kind}/")}


@pytest.mark.parametrize("file", VIEWS)
def test_views_of_shared_storages_in_every_protocol(file):
    wanted = expected("views")
    with open_weights(FIXTURES / file) as store:
        assert store.format == ("PyTorch (before 1.6)" if "legacy" in file else "PyTorch")
        assert list(store) == list(wanted)
        for key, values in wanted.items():
            found = store[key]
            assert store.info(key).shape == found.shape == values.shape
            assert found.flags.c_contiguous
            assert found.flags.writeable
            np.testing.assert_array_equal(found, values)


def test_every_type():
    wanted = expected("types")
    with open_weights(FIXTURES / "types.pt") as store:
        assert set(store) == set(wanted)
        for key, values in wanted.items():
            assert store.info(key).dtype == key
            if key != "bool":
                np.testing.assert_array_equal(store[key].astype("f8"), values)
        with pytest.raises(ValueError, match="type bool"):
            store["bool"]


def test_a_checkpoint_of_training():
    wanted = expected("checkpoint")
    with open_weights(FIXTURES / "checkpoint.pt") as store:
        assert list(store) == list(wanted)
        assert store.info("state_dict.module.2.num_batches_tracked").dtype == "int64"
        for key, values in wanted.items():
            np.testing.assert_array_equal(store[key], values)
        with pytest.raises(MissingTensorError, match=r"the prefix 'state_dict\.module\.' would fit"):
            get_tensor(store, "0.weight")
    with open_weights(FIXTURES / "checkpoint.pt", prefix="state_dict.module.") as store:
        assert get_tensor(store, "0.weight", (2, 1, 1, 1, 1)).any()


def test_a_tensor_alone_has_the_empty_name():
    with open_weights(FIXTURES / "tensor.pt") as store:
        np.testing.assert_array_equal(store[""], expected("tensor")[""])


@pytest.mark.parametrize(
    ("file", "match"),
    [
        ("module.pt", r"torch\.nn\.modules\.conv\.Conv3d: a whole pickled module.*state_dict"),
        ("optimiser.pt", "the state of an optimiser.*state_dict"),
    ],
)
def test_files_without_weights_say_what_to_save(refused, file, match):
    refused((FIXTURES / file).read_bytes(), match)


def test_a_module_of_the_legacy_format(refused):
    body = tup(text("module"), name("my.models", "UNet"), text("m.py"), text("class UNet: pass")) + b"Q)\x81."
    refused(torch_legacy(b"\x80\x02" + body, {}), r"my\.models\.UNet: a whole pickled module")


@pytest.fixture
def opened(tmp_path):
    """Return a function: the arrays in a file of these bytes."""

    def read(content):
        (tmp_path / "a.bin").write_bytes(content)
        with open_weights(tmp_path / "a.bin") as store:
            return {key: store[key] for key in store}

    return read


@pytest.mark.parametrize("location", ["cpu", "cuda:0", "cuda:7", "mps", "meta", "xla:1"])
def test_devices_do_not_matter(opened, location):
    body = state_dict(a=tensor(storage(location=location)))
    assert opened(torch_zip(body))["a"].tolist() == [[1, 2], [3, 4]]


def test_big_endian_archives(opened):
    swapped = np.frombuffer(SIXTEEN, "<f4").astype(">f4").tobytes()
    content = torch_zip(state_dict(a=tensor()), {"0": swapped}, more=[("archive/byteorder", b"big")])
    assert opened(content)["a"].tolist() == [[1, 2], [3, 4]]


def test_packed_archives_and_any_folder(opened):
    for top in ("archive", "model.last", "a/b"):
        for deflated in (False, True):
            assert opened(torch_zip(state_dict(a=tensor()), top=top, deflated=deflated))["a"].sum() == 10


def test_the_first_form_of_tensors(opened):
    parts = (storage(), number(0), numbers([4]), numbers([1]))
    body = whole(items([("a", call(name("torch._utils", "_rebuild_tensor"), *parts))]))
    assert opened(torch_zip(body))["a"].tolist() == [1, 2, 3, 4]


def test_views_of_storages_in_legacy_files(opened):
    """Files of the first versions name a part of a storage in the persistent id."""
    part = storage(rest=[tup(text("7"), number(1), number(2))])
    rest = storage(rest=[b"N"])
    body = state_dict(part=tensor(part, 0, (2,), (1,)), whole=tensor(rest))
    found = opened(torch_legacy(body))
    assert found["part"].tolist() == [2, 3]
    assert found["whole"].tolist() == [[1, 2], [3, 4]]


def test_pickles_of_python_2(opened):
    """Its strings are bytes, its pickler counts what it remembers from 1."""
    body = (
        b"}q\x01U\x01aq\x02" + tensor().replace(text("storage"), b"U\x07storage").replace(text("0"), b"U\x010") + b"s"
    )
    assert opened(torch_zip(whole(body)))["a"].shape == (2, 2)


def test_live_files_of_torch(tmp_path):
    """Random views of random types, in dictionaries and lists, in every format and protocol."""
    torch = pytest.importorskip("torch")
    chance = random.Random(2)
    types = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8]

    def make_view():
        base = torch.arange(chance.choice((60, 120)), dtype=torch.float32).to(chance.choice(types)).reshape(3, 4, -1)
        base = base.permute(*chance.sample(range(3), 3))
        low = chance.randrange(base.shape[0])
        return base[low:, :: chance.choice((1, 2))] if chance.random() < 0.6 else base[low]

    for trial in range(60):
        base = torch.arange(30.0)
        inner = {f"k{i}": make_view() for i in range(chance.randrange(1, 4))}
        value = {"a": inner, "b": [base[3:9], base.reshape(5, 6).T], 7: torch.nn.Parameter(base[::4])}
        options = {"pickle_protocol": chance.choice((2, 3, 4, 5)), "_use_new_zipfile_serialization": trial % 2 == 0}
        torch.save(value, tmp_path / "live.pt", **options)
        flat = {f"a.{key}": view for key, view in inner.items()}
        flat |= {"b.0": value["b"][0], "b.1": value["b"][1], "7": value[7].detach()}
        with open_weights(tmp_path / "live.pt") as store:
            assert set(store) == set(flat)
            for key, wanted in flat.items():
                assert store.info(key).dtype == str(wanted.dtype).removeprefix("torch.")
                np.testing.assert_array_equal(store[key].astype("f8"), wanted.double().numpy())
