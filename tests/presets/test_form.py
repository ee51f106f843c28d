"""Every preset's form: a one-line description, documented parameters, and the generator it is named after."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from volconv.spec.load import load_spec, parse_setting
from volconv.spec.model import GeneratorSource
from volconv.spec.presets import describe_presets, preset_names, preset_text
from volconv.values import Length, Values
from volconv.weights.generators import GENERATORS, make_filters

FOLDER = Path(__file__).parents[2] / "presets"
SUMMARIES = {s.name: s for s in describe_presets()}
LIKE_GENERATORS = [name for name in preset_names() if name in GENERATORS]


def test_all_files_are_presets():
    assert {p.name for p in FOLDER.iterdir() if p.name != "__pycache__"} == {f"{n}.yaml" for n in SUMMARIES} | {
        "__init__.py"
    }


def test_every_generator_has_a_preset():
    assert set(GENERATORS) <= set(SUMMARIES)


@pytest.mark.parametrize("name", SUMMARIES)
def test_text(name):
    text, summary = preset_text(name), SUMMARIES[name]
    assert text.startswith(f"# {summary.description}\nvolconv: 1\nname: {name}\n")
    assert text.isascii()
    assert text.endswith("\n")
    assert all(len(line) <= 120 for line in text.splitlines())
    assert summary.description[0].isupper()
    assert not summary.description.endswith(".")


@pytest.mark.parametrize("name", SUMMARIES)
def test_parameters_are_documented_and_used(name):
    stages = preset_text(name).partition("stages:")[2]
    for parameter in SUMMARIES[name].parameters.values():
        assert parameter.help
        assert f"${parameter.name}" in stages


@pytest.mark.parametrize("name", SUMMARIES)
def test_spec(name):
    spec = load_spec(name)
    assert spec.name == name
    assert (spec.input.channels, spec.input.axes, spec.dialect, spec.dtype, spec.weights) == (
        1,
        "kji",
        "torch",
        "float32",
        None,
    )
    assert len(spec.outputs) == 1


@pytest.mark.parametrize("name", LIKE_GENERATORS)
def test_presets_named_like_a_generator_are_that_one_stage(name):
    spec = load_spec(name)
    (stage,) = spec.stages
    assert (stage.name, stage.op, stage.inputs) == (name, "Conv3d", ("input",))
    assert stage.values == {"padding": "same", "padding_mode": "replicate"}
    assert list(stage.tensors) == ["weight"]
    source = stage.tensors["weight"]
    assert isinstance(source, GeneratorSource)
    assert source.name == name
    declared = {p.name: p for p in GENERATORS[name].parameters if p.name != "kernel_size"}
    assert list(source.values) == list(spec.parameters) == list(declared)
    for key, parameter in spec.parameters.items():
        assert (parameter.unit == "mm") == (declared[key].kind == "length")
        default = declared[key].default
        if default is not None:
            found = parameter.default
            assert (found.value if isinstance(found, Length) else found) == default
            assert not isinstance(found, Length) or found.unit == "voxel"


def _filters(name, settings, spacing_mm):
    (stage,) = load_spec(name, settings).stages
    return make_filters(name, Values(stage.tensors["weight"].values), spacing_mm)


@pytest.mark.parametrize("name", LIKE_GENERATORS)
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (3.0, 0.9, 1.1)])
def test_defaults_make_filters(name, spacing_mm):
    taps = _filters(name, None, spacing_mm)
    assert taps.shape[0] == GENERATORS[name].filters_3d
    assert taps.size <= 2 * 41**3
    assert np.isfinite(taps).all()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gaussian", ["sigma=[1mm, 2mm, 1voxel]", "order=[0, 0, 1]", "truncate=3"]),
        ("log", ["sigma=1.5"]),
        ("dog", ["ratio=2"]),
        ("unsharp", ["amount=0.5", "sigma=1voxel"]),
        ("mean", ["size=[3mm, 5voxel, 7]"]),
        ("laws", ["code=E3W5R5"]),
        ("gabor", ["plane=dh", "theta=1.5", "sigma=3", "wavelength=4voxel", "gamma=1"]),
    ],
)
def test_settings_reach_the_generator(name, settings):
    given = dict(parse_setting(s) for s in settings)
    assert not np.array_equal(_filters(name, given, (1.0, 1.0, 1.0)).shape, ())
    plain = json.loads(json.dumps(given))
    changed, default = _filters(name, plain, (1.0, 1.0, 1.0)), _filters(name, None, (1.0, 1.0, 1.0))
    assert changed.shape != default.shape or not np.allclose(changed, default)


def test_edges_is_smooth_slope_magnitude():
    spec = load_spec("edges", {"sigma": 3})
    assert [(s.name, s.op) for s in spec.stages] == [
        ("smooth", "Conv3d"),
        ("slope", "Conv3d"),
        ("magnitude", "VectorNorm"),
    ]
    assert spec.stages[0].tensors["weight"].values == {"sigma": Length(3.0, "mm")}


def test_upsample_weights_interpolate_linearly():
    edge, upsample = load_spec("upsample").stages
    assert edge.values == {"padding": 1, "padding_mode": "replicate"}
    taps = np.array(upsample.tensors["weight"].values)
    assert taps.shape == (1, 1, 4, 4, 4)
    one = np.array([1, 3, 3, 1]) / 4
    assert np.array_equal(taps[0, 0], one[:, None, None] * one[:, None] * one)


def test_upsample_is_what_scipy_interpolates():
    ndimage = pytest.importorskip("scipy.ndimage")
    _, upsample = load_spec("upsample").stages
    taps = np.array(upsample.tensors["weight"].values)[0, 0]
    stride, padding = upsample.values["stride"], upsample.values["padding"]
    x = np.random.default_rng(0).normal(size=(3, 1, 5))
    padded = np.pad(x, 1, mode="edge")
    full = np.zeros([(n - 1) * stride + 4 for n in padded.shape])
    for index in np.ndindex(padded.shape):
        full[tuple(slice(stride * i, stride * i + 4) for i in index)] += padded[index] * taps
    out = full[(slice(padding, -padding),) * 3]
    at = np.meshgrid(*[(np.arange(2 * n) - 0.5) / 2 for n in x.shape], indexing="ij")
    assert out.shape == tuple(2 * n for n in x.shape)
    assert np.allclose(out, ndimage.map_coordinates(x, at, order=1, mode="nearest"), atol=1e-12)


def test_downsample_keeps_every_second_voxel():
    smooth, downsample = load_spec("downsample").stages
    assert smooth.tensors["weight"].values == {"sigma": Length(1.0, "voxel")}
    assert downsample.values == {"stride": 2}
    assert downsample.tensors["weight"].values == [[[[[1]]]]]
