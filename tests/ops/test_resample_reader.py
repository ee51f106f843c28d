import pytest

from volconv.errors import SpecError
from volconv.ops.reader import Context
from volconv.ops.registry import get_dialect
from volconv.ops.resample import Line, half_pixel, unchanged
from volconv.values import Values

VOLUME = Context(2, shape=(4, 5, 7))


def read(dialect, name, context=VOLUME, **parameters):
    return get_dialect(dialect).readers[name].read(Values(parameters), context)


def fails(dialect, name, match, **parameters):
    with pytest.raises(SpecError, match=match):
        read(dialect, name, **parameters)


def counts(op):
    return tuple(line.count for line in op.lines)


def test_sizes_are_rounded_down():
    assert counts(read("torch", "Upsample", scale_factor=[1.5, 0.7, 2.3])) == (6, 3, 16)
    assert counts(read("torch", "Upsample", size=[6, 3, 16])) == (6, 3, 16)
    assert counts(read("torch", "Upsample", size=3)) == (3, 3, 3)


def test_torch_places_follow_the_factor_unless_recomputed():
    op = read("torch", "Upsample", scale_factor=2.3, mode="trilinear")
    assert op.lines[2] == half_pixel(7, 16, 2.3) != half_pixel(7, 16)
    op = read("torch", "Upsample", scale_factor=2.3, mode="trilinear", recompute_scale_factor=True)
    assert op.lines[2] == half_pixel(7, 16)
    assert read("lucid", "Upsample", scale_factor=2.3, mode="trilinear").lines[2] == half_pixel(7, 16)


def test_bilinear_works_slice_by_slice():
    op = read("torch", "Upsample", scale_factor=2, mode="bilinear")
    assert op.lines[0] == unchanged(4)
    assert counts(op) == (4, 10, 14)
    fails("torch", "Upsample", "a list of 3, expected one number or a list of 2", size=[8, 8, 8], mode="bilinear")
    fails("torch", "Upsample", "a list of 2, expected one number or a list of 3", size=[8, 8], mode="trilinear")


def test_modes_have_rules_of_their_own():
    rules = {
        mode: read("torch", "Upsample", size=9, mode=mode).rule for mode in ("nearest", "nearest-exact", "trilinear")
    }
    assert rules == {"nearest": "single_floor", "nearest-exact": "single_round", "trilinear": "linear"}
    assert read("lucid", "Upsample", size=9, mode="nearest-exact").rule == "single_floor"
    assert read("torch", "UpsamplingBilinear2d", scale_factor=2).lines[2] == Line(7, 14, 6, 0, 13)


@pytest.mark.parametrize("given", [{}, {"size": 4, "scale_factor": 2}, {"size": None, "scale_factor": None}])
def test_size_or_factor(given):
    fails("torch", "Upsample", "expected one of the two", **given)
    fails("onnx", "Resize", "expected one of the two", **given)


@pytest.mark.parametrize("factor", [0, -1, 0.1, 1e300, [2, 2, 0.05]])
def test_factors_have_to_leave_voxels(factor):
    fails("torch", "Upsample", "scale_factor", scale_factor=factor)


def test_a_layer_has_to_know_its_input():
    with pytest.raises(SpecError, match="expected one of known size"):
        read("torch", "Upsample", Context(2), scale_factor=2)


@pytest.mark.parametrize(
    ("dialect", "name", "match", "parameters"),
    [
        ("torch", "Upsample", "mode trilinear or bilinear beside it", {"align_corners": False}),
        ("torch", "Upsample", "found 'bicubic', expected one of nearest", {"mode": "bicubic"}),
        ("torch", "Upsample", "it is Interpolate's", {"antialias": False}),
        ("torch", "Interpolate", "there is no antialiasing", {"antialias": True}),
        ("torch", "UpsamplingNearest2d", "it is nearest", {"mode": "bilinear"}),
        ("lucid", "Upsample", "Lucid always recomputes it", {"recompute_scale_factor": True}),
        ("onnx", "Resize", "found 'cubic', expected one of nearest, linear", {"mode": "cubic"}),
        ("onnx", "Resize", "expected one of half_pixel", {"coordinate_transformation_mode": "tf_crop_and_resize"}),
        ("onnx", "Resize", "0: no other is computed", {"antialias": 1}),
        ("onnx", "Resize", "expected one of stretch", {"keep_aspect_ratio_policy": "not_larger"}),
        ("onnx", "Resize", "give 3 numbers, or 2 for H and W", {"axes": [2, 3]}),
        ("onnx", "Upsample", "has scales alone", {"nearest_mode": "floor"}),
    ],
)
def test_what_a_dialect_has_not_is_refused_with_the_reason(dialect, name, match, parameters):
    fails(dialect, name, match, scale_factor=2, **parameters)


def test_recomputing_wants_a_factor():
    fails("torch", "Upsample", "from which to recompute", size=4, recompute_scale_factor=True)


def test_onnx_takes_two_numbers_for_slices_and_factors_of_float32():
    op = read("onnx", "Resize", scale_factor=[0.6, 2], mode="linear")
    assert counts(op) == (4, 3, 14)
    assert op.lines[1] == half_pixel(5, 3, 0.6000000238418579)
    assert op.lines[0] == unchanged(4)


def test_what_the_user_wrote_is_shown():
    assert dict(read("torch", "Upsample", scale_factor=[1, 2, 2], mode="nearest").describe()) == {
        "scale_factor": (1, 2, 2), "mode": "nearest",
    }  # fmt: skip
