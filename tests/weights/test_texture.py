"""Laws filters against the vectors of the IBSI-2 reference manual."""

import itertools

import numpy as np
import pytest

from volconv.errors import SpecError
from volconv.weights.texture import VECTORS

# As printed: the factor's inverse square, and the integers.
PRINTED = {
    "L5": (70, [1, 4, 6, 4, 1]),
    "E5": (10, [-1, -2, 0, 2, 1]),
    "S5": (6, [-1, 0, 2, 0, -1]),
    "W5": (10, [-1, 2, 0, -2, 1]),
    "R5": (70, [1, -4, 6, -4, 1]),
    "L3": (6, [1, 2, 1]),
    "E3": (2, [-1, 0, 1]),
    "S3": (6, [-1, 2, -1]),
}


def test_vectors_are_the_printed_ones():
    assert {name: tuple(taps) for name, (_, taps) in PRINTED.items()} == VECTORS


@pytest.mark.parametrize("names", [("L5", "E5", "S5"), ("W5", "R5", "L3"), ("E3", "S3", "S3")])
def test_letters_stand_for_d_h_w(filters, names):
    (taps,) = filters("laws", code="".join(names))
    a, b, c = (np.array(PRINTED[n][1]) / np.sqrt(PRINTED[n][0]) for n in names)
    np.testing.assert_allclose(taps, np.einsum("i,j,k->ijk", a, b, c), rtol=0, atol=1e-15)


@pytest.mark.parametrize("names", list(itertools.product(["L5", "E3"], ["S5", "W5"])))
def test_in_two_dimensions(filters, names):
    (taps,) = filters("laws", ndim=2, code="".join(names))
    a, b = (np.array(PRINTED[n][1]) / np.sqrt(PRINTED[n][0]) for n in names)
    np.testing.assert_allclose(taps, np.outer(a, b), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "L5",
        "L5E5",
        "L5E5S5R5",
        "l5e5s5",
        "L5E5S",
        "L5E5S7",
        "X5E5S5",
        "W3E5S5",
        5,
        None,
        [1],
        "L5 E5 S5",
        "L5E5S5\n",
    ],
)
def test_other_codes_are_errors(filters, code):
    with pytest.raises(SpecError, match=r"3 of L3, .*such as L5E5S5"):
        filters("laws", code=code)


def test_three_vectors_in_two_dimensions_are_an_error(filters):
    with pytest.raises(SpecError, match="such as L5E5"):
        filters("laws", ndim=2, code="L5E5S5")
