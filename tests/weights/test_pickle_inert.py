"""Checkpoints with devices, types, paths and settings beside their tensors; what is not on the list stays refused."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.weights.pickle_cases import call, items, name, number, tensor, text, torch_zip, tup, whole
from volconv.errors import WeightsError
from volconv.weights.pickle_inert import INERT_MARKS, INERT_NEW_RULES, INERT_RULES
from volconv.weights.store import open_weights

FIXTURES = Path(__file__).parent / "fixtures"


def test_a_checkpoint_of_nnunet():
    with open_weights(FIXTURES / "nnunet.pth", "network_weights.") as store:
        assert {key: store[key].shape for key in store} == {"weight": (1, 1, 1, 1, 1), "bias": (1,)}
    with open_weights(FIXTURES / "nnunet.pth") as store:
        assert store["_best_ema"] == 0.6
        assert store["logging.mean_fg_dice.1"] == 0.75


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_checkpoint_of_lightning(protocol):
    with open_weights(FIXTURES / f"lightning_p{protocol}.ckpt") as store:
        assert store["state_dict.model.weight"].shape == (1, 1, 1, 1, 1)
        assert store["callbacks.ModelCheckpoint{'monitor': None}.best_model_score"] == 0.25
        # Settings are looked through like dictionaries.
        assert store["hyper_parameters.arguments.kernel"].tolist() == [1, 1]
        assert not any("groups" in key or "space" in key for key in store)


def test_the_list_has_nothing_that_could_run():
    """Whatever a new name may be, it is none of a function, nor of a class that does something when it is made."""
    names = {str(token) for token in (*INERT_RULES, *INERT_NEW_RULES, *INERT_MARKS)}
    modules = {token.module for token in (*INERT_RULES, *INERT_NEW_RULES, *INERT_MARKS)}
    assert modules <= {
        *("torch", "collections", "types", "builtins", "__builtin__", "pathlib", "pathlib._local", "datetime"),
        *("argparse", "pytorch_lightning.utilities.parsing", "lightning.pytorch.utilities.parsing"),
        *("lightning_fabric.utilities.data", "lightning.fabric.utilities.data"),
    }
    assert not names & {f"builtins.{name}" for name in ("eval", "exec", "getattr", "open", "type", "object", "bytes")}
    assert all("." not in token.name for token in (*INERT_RULES, *INERT_NEW_RULES, *INERT_MARKS))


GOOD = ("good", tensor())
REFUSED = {
    "a class that was called": call(name("builtins", "dict"), text("a")),
    "a type that was called": call(name("torch", "float16")),
    "a factory that is code": call(name("collections", "defaultdict"), name("posix", "mkdir")),
    "a factory that is text": call(name("collections", "defaultdict"), text("list")),
    "two factories": call(name("collections", "defaultdict"), name("builtins", "list"), b"}"),
    "a Counter of text": call(name("collections", "Counter"), text("aab")),
    "a deque of a list": call(name("collections", "deque"), b"]Na", number(3)),
    "a device of many parts": call(name("torch", "device"), *[number(1)] * 70),
    "a Namespace of something": name("argparse", "Namespace") + tup(text("a")) + b"\x81",
    "a Namespace by a call": call(name("argparse", "Namespace")),
    "a path by NEWOBJ": name("pathlib", "PosixPath") + tup(text("/etc/passwd")) + b"\x81",
    "a state that is a tuple": name("argparse", "Namespace") + b")\x81" + tup(b"N", b"}") + b"b",
    "a state twice": name("argparse", "Namespace") + b")\x81" + items([("a", b"N")]) + b"q\0bh\0b",
    "a state for a device": call(name("torch", "device"), text("cpu")) + b"}b",
    "a state for a path": call(name("pathlib", "PosixPath"), text("a")) + items([("_drv", b"N")]) + b"b",
    "a parser": name("argparse", "ArgumentParser") + b")\x81",
    "an attribute of a path": call(name("pathlib", "PosixPath.unlink"), text("a")),
    "the module of paths": call(name("pathlib", "os.mkdir"), text("a")),
    "another class of paths": call(name("pathlib", "_PosixFlavour")),
    "a generator": call(name("torch", "Generator")),
    "a function of torch": call(name("torch", "load"), text("a")),
    "a partial": call(name("functools", "partial"), name("posix", "mkdir")),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("wrap", [lambda body: torch_zip(whole(body)), whole])
def test_what_lies(refused, kind, wrap):
    refused(wrap(items([GOOD, ("bad", REFUSED[kind])])), "pickle: found")


def test_settings_that_unfold(refused):
    """Thousands of settings that take over one large dictionary each."""
    large = items([(f"k{i}", b"N") for i in range(2000)]) + b"q\0"
    more = (name("argparse", "Namespace") + b")\x81h\0b0") * 2000
    refused(whole(large + b"0" + more + items([GOOD])), "unfolds to many times")


def test_attributes_are_keys_and_nothing_else(tmp_path):
    state = items([("__class__", name("collections", "OrderedDict")), ("__dict__", b"}"), ("w", tensor())])
    body = items([("hparams", name("argparse", "Namespace") + b")\x81" + state + b"b")])
    (tmp_path / "a.pt").write_bytes(torch_zip(whole(body)))
    with open_weights(tmp_path / "a.pt") as store:
        assert list(store) == ["hparams.w"]


class Other:
    def __reduce__(self):
        return Other, ()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": np.ones(1), "hyper_parameters": {"x": 1, "model": Other()}}, "hyper_parameters.model"),
        ({"a": np.ones(1), "b": {"x": [1, (2, Other())], "y": 1}}, "b.x"),
        ({"only": Other()}, "only"),
        ([Other()], ""),
    ],
)
def test_a_refusal_says_where(tmp_path, value, where, protocol):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    with pytest.raises(
        WeightsError, match=r"found the name .*test_pickle_inert.*Nothing in the file was run"
    ) as caught:
        open_weights(path)
    assert caught.value.where == (where or None)
