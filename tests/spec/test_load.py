"""From a name to a spec; the same spec from YAML, JSON and Python; damaged texts give one error."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.compat import StringIO

from volconv.errors import MissingFileError, SpecError, UsageError, VolconvError
from volconv.spec.load import is_spec_path, load_spec, load_spec_mapping, parse_setting, parse_spec
from volconv.spec.model import Spec
from volconv.spec.presets import preset_names, preset_text
from volconv.values import Length

TEXT = "volconv: 1\nparameters: {s: {default: 1}}\nstages:\n  - {op: Conv3d, name: a, stride: $s}\n"


@pytest.mark.parametrize("name", ["spec.yaml", "spec.yml", "SPEC.YAML", "gaussian.yaml"])
def test_files(tmp_path, name, monkeypatch):
    (tmp_path / name).write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    for source in (name, tmp_path / name, str(tmp_path / name)):
        spec = load_spec(source, {"s": 2})
        assert spec.stages[0].values == {"stride": 2}
        assert spec.folder.resolve() == tmp_path
        assert spec.source == str(source)


def test_json_files(tmp_path):
    (tmp_path / "s.json").write_text('{"volconv": 1, "stages": [{"op": "A", "x": 1}]}')
    assert load_spec(tmp_path / "s.json").stages[0].values == {"x": 1}
    (tmp_path / "s.json").write_text(TEXT)
    with pytest.raises(SpecError, match=r"s.json: line 1, column 1: found 'volconv', expected a JSON value"):
        load_spec(tmp_path / "s.json")


def test_presets_by_name():
    spec = load_spec("gaussian", {"sigma": "3mm"})
    assert spec.settings["sigma"] == Length(3, "mm")
    assert (spec.source, spec.folder, spec.text) == ("preset gaussian", None, preset_text("gaussian"))


@pytest.mark.parametrize(
    "name", ["gausian", "", ".", "a\0b", "x" * 5000, "../gaussian", "GAUSSIAN", "\x1b[31m", "__init__"]
)
def test_names_of_nothing(name):
    with pytest.raises(UsageError, match="found no preset") as caught:
        load_spec(name)
    assert caught.value.exit_code == 2
    assert str(caught.value).isprintable()
    assert ("did you mean 'gaussian'?" in str(caught.value)) == (name in ("gausian", "GAUSSIAN"))


def test_a_file_without_a_spec_ending(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text(TEXT)
    for name in ("mine", "folder/mine.txt"):
        with pytest.raises(UsageError, match=r"the path of a spec ends in .yaml, .yml, .json"):
            load_spec(name)


def test_missing_files_are_named():
    with pytest.raises(MissingFileError, match=r"nowhere/spec\.yaml: cannot be read"):
        load_spec("nowhere/spec.yaml")


def test_is_spec_path():
    assert is_spec_path("a.yml")
    assert not is_spec_path("yaml")


def test_mappings():
    spec = load_spec_mapping(
        {"volconv": 1, "stages": ({"op": "A", "weight": np.ones((1, 2)), "x": np.int32(3), "r": Length(2, "mm")},)}
    )
    stage = spec.stages[0]
    assert stage.tensors["weight"].values == [[1.0, 1.0]]
    assert stage.values == {"x": 3, "r": Length(2, "mm")}
    assert json.loads(spec.text)["stages"][0]["r"] == "2mm"
    with pytest.raises(SpecError, match=r"spec: stages\[0\].weight: found true"):
        load_spec_mapping({"volconv": 1, "stages": [{"op": "A", "weight": True}]})
    with pytest.raises(SpecError, match="expected a spec: a mapping"):
        load_spec_mapping([1])


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("sigma=2mm", ("sigma", "2mm")),
        ("sigma=2", ("sigma", 2)),
        ("sigma=1e-5", ("sigma", 1e-5)),
        ("sigma= [1, 2mm, 3voxel]", ("sigma", [1, "2mm", "3voxel"])),
        ("code=L5E5S5", ("code", "L5E5S5")),
        ("flag=no", ("flag", "no")),
        ("flag=false", ("flag", False)),
        ("text='1'", ("text", "1")),
        ("text=a=b", ("text", "a=b")),
        ("text=''", ("text", "")),
    ],
)
def test_settings(text, setting):
    out = parse_setting(text)
    assert out == setting
    assert type(out[1]) is type(setting[1])


@pytest.mark.parametrize(
    "text",
    [
        *["", "sigma", "=2", " sigma=2", "si gma=2", "sigma=", "sigma= ", "sigma=~", "sigma=# x", "sigma=[1, null]"],
        *["sigma=.nan", "sigma=.inf", "sigma=1e999", "sigma=" + "9" * 5000, "sigma={a: 1}", "sigma=[[1]]", "sigma=[1"],
        *["sigma=*a", "sigma=&a 1", "sigma=!!python/none x", "sigma=a: 1", "sigma=\t2", "sigma=\0", "sigma='"],
        *["sigma=- 1\n- a: 2", "sigma=1\n---\n2", "sigma=\udcff", "\x1b=2", "sigma=" + "[" * 10_000],
    ],
)
def test_settings_that_are_none(text):
    with pytest.raises(UsageError, match="--set") as caught:
        parse_setting(text)
    assert caught.value.exit_code == 2
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


_NUMBERS = st.integers(-99, 99) | st.floats(-1e9, 1e9)
_WORDS = st.sampled_from(
    ["same", "no", "1e-5", "~", "a: b", "é", "# x", "2mm", "true", "12", "'", '"', "[", "x\ny", "-"]
)
_SOURCES = st.one_of(
    st.sampled_from(["enc.weight", "null", "0x1f"]),
    st.lists(st.lists(_NUMBERS, min_size=2, max_size=2), min_size=1, max_size=3),
    st.fixed_dictionaries({"file": st.just("w.npz")}, optional={"key": _WORDS}),
    st.fixed_dictionaries({"generator": st.just("gaussian")}, optional={"sigma": _NUMBERS, "order": st.just("$order")}),
    st.fixed_dictionaries({"init": st.just("default"), "seed": st.integers(0, 2**63 - 1)}),
)
_STAGES = st.fixed_dictionaries(
    {"op": st.sampled_from(["Conv3d", "ReLU"])},
    optional={
        **{"weight": _SOURCES, "bias": st.booleans() | _SOURCES, "tensors": st.dictionaries(st.just("m"), _SOURCES)},
        **{"stride": _NUMBERS, "padding": _WORDS, "x": st.lists(_WORDS | _NUMBERS | st.none(), max_size=3)},
        "input": st.just("input"),
    },
)
_SPECS = st.fixed_dictionaries(
    {
        "volconv": st.just(1),
        "parameters": st.just({"order": {"default": 0, "min": 0, "help": "h"}}),
        "stages": st.lists(_STAGES, min_size=1, max_size=4),
    },
    optional={
        **{"name": _WORDS, "description": _WORDS, "dtype": st.sampled_from(["float32", "float64"])},
        "input": st.fixed_dictionaries({}, optional={"channels": st.integers(1, 9), "axes": st.just("ijk")}),
        "weights": st.just("w.npz") | st.fixed_dictionaries({"file": st.just("w.npz"), "prefix": _WORDS}),
    },
)


def _without_places(value: object) -> object:
    if hasattr(value, "__dataclass_fields__"):
        skipped = ("place", "places", "text", "digest", "source")
        return {k: _without_places(getattr(value, k)) for k in value.__dataclass_fields__ if k not in skipped}
    if isinstance(value, dict):
        return {k: _without_places(v) for k, v in value.items()}
    return [_without_places(v) for v in value] if isinstance(value, tuple | list) else value


def _dump_yaml(data: dict, flow: bool) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = flow
    out = StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def _outcome(read) -> object:
    """What a reader makes of a spec: the spec less its places, or what the error says less its place."""
    try:
        spec = read()
    except SpecError as error:
        return error.message
    assert isinstance(spec, Spec)
    return _without_places(spec)


@settings(max_examples=60, deadline=None)
@given(_SPECS, st.booleans())
def test_yaml_json_and_python_agree(data, flow):
    expected = _outcome(lambda: load_spec_mapping(data))
    assert _outcome(lambda: parse_spec(json.dumps(data), "spec.json")) == expected
    assert _outcome(lambda: parse_spec(_dump_yaml(data, flow), "spec")) == expected


def _damage(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 4)):
        i, j = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        piece = rng.choice(
            ['"', "'", "[", "]", "{", "}", ":", ",", "-", "\n", "\t", " ", "&", "*", "!", "|", ">", "#", "?"]
        )
        piece = rng.choice(
            [piece, piece * 3, text[i:j], "\x00", "\ufeff", "é", "\r", "%", "$", "1e9", "true", "---\n", "\\"]
        )
        text = rng.choice(
            [text[:i] + piece + text[i:], text[:i] + text[min(j, i + 9) :], text[:i] + piece + text[i + 1 :]]
        )
    return text or " "


def test_damaged_text_gives_a_spec_or_one_error():
    rng = random.Random(20250101)
    texts = [(preset_text(name), "p.yaml") for name in preset_names() if name != "upsample"]
    texts += [
        (json.dumps({"volconv": 1, "stages": [{"op": "A", "w": [1, -2.5e3, "x\\n\u00e9", None, True]}]}), "p.json")
    ]
    for i in range(700):
        text, source = texts[i % len(texts)]
        message = ""
        try:
            parse_spec(_damage(text, rng), source)
        except VolconvError as error:
            message = str(error)
        assert message.isprintable()
        assert len(message) < 2000


_LONG = "x$" * 50_000
_MANY = {f"p{i}": {"default": 1} for i in range(3000)}


@pytest.mark.parametrize(
    "spec",
    [
        {"volconv": 1, _LONG: 1},
        {"volconv": 1, "stages": [{"op": _LONG}]},
        {"volconv": 1, "stages": [{"op": "A", "name": _LONG}]},
        {"volconv": 1, "stages": [{"op": "A", "input": _LONG}]},
        {"volconv": 1, "stages": [{"op": "A", "x": "$" + _LONG}]},
        {"volconv": 1, "stages": [{"op": "A", "weight": _LONG}]},
        {"volconv": 1, "stages": [{"op": "A", "weight": {_LONG: 1}}]},
        {"volconv": 1, "stages": [{"op": "A", _LONG: {"a": "$b"}}]},
        {"volconv": 1, "stages": [{"op": "A"}], "weights": _LONG},
        {"volconv": 1, "stages": [{"op": "A"}], "dialect": _LONG},
        {"volconv": 1, "stages": [{"op": "A"}], "outputs": [_LONG]},
        {"volconv": 1, "stages": [{"op": "A"}], "parameters": {_LONG: 1}},
        {"volconv": 1, "stages": [{"op": "A"}], "parameters": {"a": {"default": "1" * 100_000, "unit": "mm"}}},
        {"volconv": 1, "stages": [{"op": "A", "x": "$q"}], "parameters": _MANY},
        {"volconv": 1, "stages": [{"op": "A"}] * 3000, "outputs": ["B"]},
        {"volconv": 1, "stages": [*[{"op": "A"}] * 3000, {"op": "B", "input": "C"}]},
    ],
)
def test_messages_stay_short(spec):
    with pytest.raises(SpecError) as caught:
        parse_spec(json.dumps(spec), "s.json")
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()
