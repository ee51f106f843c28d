import numpy as np
import pytest

import volconv
from volconv.errors import ShapeError, SpecError, UsageError, VolconvError, WeightsError

RNG = np.random.default_rng(0)


def test_the_examples_of_the_torch_page_give_their_shapes():
    x = RNG.standard_normal((2, 16, 10, 50, 30)).astype("f4")
    m = volconv.Conv3d(16, 33, 3, stride=2, init="default")
    assert m(x).shape == (2, 33, 4, 24, 14)
    m = volconv.Conv3d(16, 33, (3, 5, 2), stride=(2, 1, 1), padding=(4, 2, 0), init="default")
    assert m(x).shape == (2, 33, 8, 50, 29)


def test_a_layer_says_what_is_missing_until_it_has_it():
    conv = volconv.Conv3d(3, 1, kernel_size=3)
    assert conv.weight is None
    assert conv.bias is None
    assert conv.weight_shape == (1, 3, 3, 3, 3)
    assert conv.bias_shape == (1,)
    x = np.ones((3, 5, 5, 5), "f4")
    with pytest.raises(WeightsError, match=r"no weight; set \.weight to an array of shape \(1, 3, 3, 3, 3\)"):
        conv(x)
    conv.weight = np.ones(conv.weight_shape)
    with pytest.raises(WeightsError, match="no bias"):
        conv(x)
    conv.bias = np.full((1, 1, 1, 1, 1), 0.5)
    np.testing.assert_array_equal(conv(x), np.full((1, 3, 3, 3), 81.5, "f4"))


def test_shapes_are_checked_when_they_are_set():
    conv = volconv.Conv3d(2, 4, 3, bias=False)
    assert conv.bias_shape is None
    with pytest.raises(WeightsError, match=r"shape \(4, 2, 3, 3\), expected \(4, 2, 3, 3, 3\)"):
        conv.weight = np.ones((4, 2, 3, 3))
    with pytest.raises(WeightsError, match="expected none"):
        conv.bias = np.ones(4)
    with pytest.raises(WeightsError, match="expected numbers"):
        conv.weight = np.full((4, 2, 3, 3, 3), "a")


def test_batched_and_unbatched_inputs_agree():
    conv = volconv.Conv3d(2, 3, 3, padding="same", init="default", seed=4)
    x = RNG.standard_normal((2, 2, 6, 7, 8)).astype("f4")
    batched = conv(x)
    assert batched.shape == (2, 3, 6, 7, 8)
    np.testing.assert_array_equal(conv(x[1]), batched[1])
    assert conv(x[:0]).shape == (0, 3, 6, 7, 8)
    with pytest.raises(ShapeError, match=r"3 axes, expected 4 \(unbatched\) or 5"):
        conv(x[0, 0])


def test_a_two_dimensional_layer_is_scipys():
    from scipy.ndimage import correlate

    w, x = RNG.standard_normal((3, 5)), RNG.standard_normal((9, 8))
    conv = volconv.Conv2d(1, 1, (3, 5), padding=(1, 2), bias=False, weight=w[None, None], dtype="float64")
    np.testing.assert_allclose(conv(x[None])[0], correlate(x, w, mode="constant"), rtol=1e-12)


def test_output_size_chooses_among_what_the_stride_allows():
    up = volconv.ConvTranspose3d(1, 1, 3, stride=2, padding=1, init="default")
    x = np.ones((1, 1, 4, 4, 4), "f4")
    assert up(x).shape == (1, 1, 7, 7, 7)
    assert up(x, output_size=(8, 7, 8)).shape == (1, 1, 8, 7, 8)
    assert up(x, output_size=(1, 1, 8, 7, 8)).shape == (1, 1, 8, 7, 8)
    with pytest.raises(UsageError, match="9 along D, expected 7 to 8"):
        up(x, output_size=(9, 7, 7))
    for wrong in (8, (7.5, 7, 7), ((7, 7), 7, 7)):
        with pytest.raises(UsageError, match="whole numbers D, H, W"):
            up(x, output_size=wrong)
    for key in ("stride", "padding", "dilation"):
        of_one = volconv.ConvTranspose3d(1, 1, 3, **{key: [1]}, init="default")
        plain = of_one(x).shape[2:]
        with pytest.raises(UsageError, match=f"found output_size beside {key}"):
            of_one(x, output_size=plain)


def test_initialisation_is_on_request_seeded_and_in_torchs_bounds():
    one, two, other = (volconv.Conv3d(4, 8, 3, groups=2, init="default", seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.weight, two.weight)
    assert (one.weight != other.weight).any()
    bound = 1 / np.sqrt(2 * 27)
    assert 0.9 * bound < np.abs(one.weight).max() <= bound
    assert np.abs(one.bias).max() <= bound
    transposed = volconv.ConvTranspose3d(4, 8, 3, groups=2, init="default")
    assert 0.9 / np.sqrt(4 * 27) < np.abs(transposed.weight).max() <= 1 / np.sqrt(4 * 27)
    with pytest.raises(UsageError, match="expected 'default'"):
        volconv.Conv3d(1, 1, 1, init="xavier")


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (volconv.Conv3d(2, 4, 3), "Conv3d(2, 4, kernel_size=(3, 3, 3), stride=(1, 1, 1))"),
        (
            volconv.Conv3d(2, 4, 3, 2, (1, 2, 3), dilation=2, bias=False, padding_mode="reflect"),
            "Conv3d(2, 4, kernel_size=(3, 3, 3), stride=(2, 2, 2), padding=(1, 2, 3), dilation=(2, 2, 2), bias=False, "
            "padding_mode=reflect)",
        ),
        (volconv.Conv3d(2, 2, 3, padding="same", groups=2),
         "Conv3d(2, 2, kernel_size=(3, 3, 3), stride=(1, 1, 1), padding=same, groups=2)"),
        (volconv.Conv2d(1, 1, (3, 5)), "Conv2d(1, 1, kernel_size=(3, 5), stride=(1, 1))"),
        (volconv.ConvTranspose3d(8, 4, 2, stride=2, output_padding=1),
         "ConvTranspose3d(8, 4, kernel_size=(2, 2, 2), stride=(2, 2, 2), output_padding=(1, 1, 1))"),
    ],
)  # fmt: skip
def test_repr_is_torchs(layer, text):
    assert repr(layer) == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 0}, "groups"),
        ({"groups": 3}, "divisible by groups"),
        ({"kernel_size": 0}, "at least 1"),
        ({"stride": 0}, "at least 1"),
        ({"padding": -1}, "at least 0"),
        ({"padding": "some"}, "same, valid"),
        ({"padding": "same", "stride": 2}, "stride 1"),
        ({"padding_mode": "mirror"}, "padding_mode"),
        ({"dilation": (1, 2)}, "a list of 2"),
        ({"kernel_size": 3.0}, "whole number"),
        ({"dilations": 2}, "did you mean 'dilation'"),
        ({"padding": [1], "padding_mode": "reflect"}, "a list of 1"),
    ],
)
def test_parameters_are_checked_when_the_layer_is_made(arguments, message):
    with pytest.raises(SpecError, match=message):
        volconv.Conv3d(**{"in_channels": 4, "out_channels": 8, "kernel_size": 3, **arguments})


def test_a_transposed_layer_refuses_what_torch_refuses():
    with pytest.raises(SpecError, match="less than the stride or the dilation"):
        volconv.ConvTranspose3d(1, 1, 3, stride=2, output_padding=2)
    with pytest.raises(SpecError, match="transposed"):
        volconv.ConvTranspose3d(1, 1, 3, padding="same")
    with pytest.raises(SpecError, match="padding_mode"):
        volconv.ConvTranspose3d(1, 1, 3, padding_mode="reflect")
    for wrong in ("complex64", "no such type", object(), np.uint32):
        with pytest.raises(VolconvError, match="dtype"):
            volconv.Conv3d(1, 1, 1, dtype=wrong)
    assert volconv.Conv3d(1, 1, 1, dtype="f8").dtype == "float64"
    with pytest.raises(SpecError, match="dialect"):
        volconv.Conv3d(1, 1, 1, dialect="caffe")


def test_infinite_weights_skip_what_lies_outside():
    conv = volconv.Conv3d(1, 1, (1, 1, 3), padding="same", bias=False)
    conv.weight = np.array([np.inf, 1, 0]).reshape(1, 1, 1, 1, 3)
    out = conv(np.ones((1, 1, 1, 3), "f4"))[0, 0, 0]
    assert out[0] == 1
    assert np.isinf(out[1:]).all()
    even = volconv.Conv3d(
        1, 1, (1, 1, 2), padding="same", bias=False, weight=np.array([1, np.inf]).reshape(1, 1, 1, 1, 2)
    )
    assert even(np.ones((1, 1, 1, 3), "f4")).ravel().tolist() == [np.inf, np.inf, 1]
    up = volconv.ConvTranspose3d(1, 1, (1, 1, 2), bias=False, weight=np.array([np.inf, 1]).reshape(1, 1, 1, 1, 2))
    assert up(np.ones((1, 1, 1, 2), "f4")).ravel().tolist() == [np.inf, np.inf, 1]


def test_torch_gives_the_same():
    torch = pytest.importorskip("torch")
    x = RNG.standard_normal((2, 4, 7, 8, 9)).astype("f4")
    for kind, arguments in [
        ("Conv3d", {"kernel_size": (3, 2, 3), "stride": (1, 2, 1), "padding": 1, "dilation": (2, 1, 1), "groups": 2}),
        ("Conv3d", {"kernel_size": 3, "padding": "same", "padding_mode": "circular"}),
        ("ConvTranspose3d", {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1, "groups": 2}),
    ]:
        theirs = getattr(torch.nn, kind)(4, 6, **arguments)
        ours = getattr(volconv, kind)(4, 6, **arguments)
        ours.weight, ours.bias = theirs.weight.detach().numpy(), theirs.bias.detach().numpy()
        with torch.no_grad():
            expected = theirs(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(ours(x), expected, rtol=1e-5, atol=1e-5)
        assert repr(ours) == repr(theirs)
