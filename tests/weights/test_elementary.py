"""Accuracy against the C library, and the same bits whatever the processor offers."""

import math
import os
import subprocess
import sys

import numpy as np

from volconv.weights.elementary import cos_sin_turns, exp


def test_exp_is_within_two_units_in_the_last_place():
    x = -np.concatenate([np.linspace(0, 50, 20_001), np.geomspace(1e-300, 708, 20_000)])
    wanted = np.array([math.exp(v) for v in x])
    assert np.max(np.abs(exp(x) - wanted) / np.spacing(wanted)) <= 2


def test_exp_at_its_ends():
    assert exp(0.0) == 1
    assert exp(-1e300) == 0
    assert 0 < exp(-744.0) < 1e-322


def test_cosine_and_sine():
    turns = np.linspace(-3, 3, 60_001)
    cos, sin = cos_sin_turns(turns)
    np.testing.assert_allclose(cos, [math.cos(2 * math.pi * t) for t in turns], rtol=0, atol=1e-14)
    np.testing.assert_allclose(sin, [math.sin(2 * math.pi * t) for t in turns], rtol=0, atol=1e-14)
    np.testing.assert_allclose(cos * cos + sin * sin, 1, rtol=0, atol=1e-15)


def test_quarter_turns_are_exact():
    cos, sin = cos_sin_turns(np.array([0, 0.25, 0.5, 0.75, 1, -0.25, 1e15 + 0.5]))
    assert cos.tolist() == [1, 0, -1, 0, 1, 0, -1]
    assert sin.tolist() == [0, 1, 0, -1, 0, -1, 0]


TAPS = """
import hashlib
from volconv.values import Values
from volconv.weights.generators import make_filters
out = hashlib.sha256()
for i in range(1, 40):
    for name, values in (
        ("gaussian", {"sigma": [0.117 * i, 0.5, 1.3], "order": [0, 3, i % 5]}),
        ("log", {"sigma": 0.05 * i}),
        ("gabor", {"sigma": 0.1 * i, "wavelength": 0.3 * i, "theta": 0.21 * i}),
    ):
        out.update(make_filters(name, Values(values), None).tobytes())
print(out.hexdigest())
"""


def test_taps_are_the_same_bits_on_a_lesser_processor():
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    fancy = " ".join(name for name in __cpu_dispatch__ if __cpu_features__[name])
    digests = {
        subprocess.run(
            [sys.executable, "-c", TAPS], env={**os.environ, **env}, capture_output=True, text=True, check=True
        ).stdout
        for env in ({}, {"NPY_DISABLE_CPU_FEATURES": fancy, "OPENBLAS_CORETYPE": "Prescott"})
    }
    assert len(digests) == 1
