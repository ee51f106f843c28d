"""Orientation letters."""

from __future__ import annotations

import numpy as np

from volconv.formats.orientation import orientation_letters


def test_letters_are_nibabels() -> None:
    assert orientation_letters(np.eye(4)) == "RAS"
    assert orientation_letters(np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])) == "LIA"
    assert orientation_letters(None) is None
