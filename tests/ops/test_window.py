import pytest

from volconv.errors import ShapeError
from volconv.ops.base import Wire
from volconv.ops.conv3d import Conv3d
from volconv.ops.conv_transpose3d import ConvTranspose3d
from volconv.ops.window import check_padding_limit, check_size, forward_length, same_padding


def test_same_padding_keeps_the_length():
    for kernel in range(1, 7):
        for dilation in range(1, 4):
            (low,), (high,) = same_padding((kernel,), (dilation,))
            assert 0 <= high - low <= 1
            assert all(forward_length(n, low, high, kernel, 1, dilation) == n for n in range(1, 9))


def test_lengths_are_counts_of_windows():
    for n, k, s, d in [(7, 3, 2, 1), (9, 2, 3, 2), (5, 5, 1, 1), (4, 5, 1, 1), (10, 3, 4, 3)]:
        expected = len([p for p in range(0, n, s) if p + d * (k - 1) < n])
        assert max(0, forward_length(n, 0, 0, k, s, d)) == expected


def test_limits_of_the_padding_modes():
    check_padding_limit(0, 4, 3, 3, "reflect")
    check_padding_limit(0, 4, 4, 4, "circular")
    check_padding_limit(0, 1, 50, 50, "replicate")
    check_padding_limit(2, 1, 0, 0, "reflect")
    for mode, amount in (("reflect", 4), ("circular", 5)):
        with pytest.raises(ShapeError, match=f"{mode} padding of {amount} along W on a size of 4"):
            check_padding_limit(2, 4, 0, amount, mode)


def test_volumes_beyond_any_address():
    check_size((2**20, 2**20, 2**19), 1)
    with pytest.raises(ShapeError, match=r"at most 2\^59 numbers"):
        check_size((2**20, 2**20, 2**19), 2)
    huge = (2**30,) * 3
    for op in (Conv3d(1, 1, (1, 1, 1), pad_low=huge), ConvTranspose3d(1, 1, (1, 1, 1), huge)):
        with pytest.raises(ShapeError, match=r"at most 2\^59 numbers"):
            op.out_wire((Wire((4, 4, 4), 1),))
