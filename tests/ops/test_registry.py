import pytest

from volconv.dialects import dialect_names
from volconv.errors import SpecError
from volconv.ops.registry import get_dialect


def test_every_file_is_a_dialect():
    assert dialect_names() == ("torch", "lucid", "megengine", "onnx")
    for name in dialect_names():
        assert get_dialect(name).name == name


@pytest.mark.parametrize("name", ["caffe", "", "torch.nn", "../torch", "__init__", "os"])
def test_anything_else_is_refused(name):
    with pytest.raises(SpecError, match="expected one of torch, lucid, megengine, onnx"):
        get_dialect(name)


def test_the_nearest_name_is_told():
    with pytest.raises(SpecError, match="did you mean 'megengine'"):
        get_dialect("MegEngin")


PADS = {
    f"{kind}Pad{rank}d" for kind in ("Constant", "Zero", "Reflection", "Replication", "Circular") for rank in (2, 3)
}
DROPOUTS = {"AlphaDropout", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"}
NORMS_AND_POOLS = {
    *("GroupNorm", "InstanceNorm3d", "MaxPool3d", "AvgPool3d", "AdaptiveAvgPool3d", "AdaptiveMaxPool3d"),
}
FLAT = {"UpsamplingNearest2d", "UpsamplingBilinear2d"}
LACKING = {  # of torch's
    "lucid": {
        *("CircularPad2d", "CircularPad3d", "ReflectionPad3d", "ZeroPad3d"),
        *("Dropout3d", "FeatureAlphaDropout", "Interpolate"),
    },
    "megengine": {"BatchNorm3d", *NORMS_AND_POOLS, "Upsample", "Interpolate", *FLAT, *PADS, *DROPOUTS},
    "onnx": {"Interpolate", "PixelShuffle", *FLAT, *PADS, *DROPOUTS},
}
OWN = {"onnx": {"Resize", "DepthToSpace"}}


def test_every_dialect_has_every_operator():
    names = set(get_dialect("torch").readers)
    assert {"Conv3d", "Conv2d", "ConvTranspose3d", "ConvTranspose2d", "BatchNorm3d", "BatchNorm2d", "Add"} < names
    for name in dialect_names():
        assert set(get_dialect(name).readers) == (names - LACKING.get(name, set())) | OWN.get(name, set())
