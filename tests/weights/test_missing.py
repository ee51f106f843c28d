"""What is said of a name that is not there."""

from volconv.weights.base import TensorInfo
from volconv.weights.missing import explain_missing, explain_prefix, find_prefix

INFO = TensorInfo((2, 3), "float32", 24)


def named(*names):
    return dict.fromkeys(names, INFO)


def test_nearest_names_are_given_with_shapes():
    text = explain_missing("Conv1.Weight", named("conv1.weight", "conv2.weight", "bias"), "")
    assert "nearest: conv1.weight [2, 3], conv2.weight [2, 3]" in text


def test_long_lists_are_cut():
    text = explain_missing("x", named(*(f"layer{i}.weight" for i in range(1000))), "")
    assert "and 988 more" in text
    assert len(text) < 800


def test_long_names_are_cut():
    assert len(explain_missing("x", named("y" * 10_000), "")) < 200


def test_prefixes():
    assert find_prefix("a", ["module.a", "b"]) == "module."
    assert find_prefix("a", ["x.a", "state_dict.model.a"]) == "state_dict.model."
    assert find_prefix("a", ["long.x.a", "x.a"]) == "x."
    assert find_prefix("a", ["xa", "b"]) is None
    assert find_prefix("a", ["a", "module.a"]) == ""


def test_a_wrong_prefix_is_corrected():
    assert "the prefix '' would fit" in explain_missing("a", named("a", "m.b"), "m.")
    assert "behind the prefix 'm.'" in explain_missing("a", named("m.b"), "m.")


def test_no_tensors():
    assert "no tensors" in explain_missing("a", {}, "")
    assert "no tensors" in explain_prefix("a", {})


def test_control_characters_are_escaped():
    assert explain_missing("a\x1b", named("b\n"), "").isprintable()
