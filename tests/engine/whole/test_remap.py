"""Labels of a whole map renamed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from volconv.engine.whole.remap import change
from volconv.kernels import naive_labels
from volconv.ops.remap import Remap


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 255), min_size=1), st.sampled_from("BHI"))
def test_equals_the_naive_twin(pairs, kind):
    volume = np.random.default_rng(0).integers(0, 8, (3, 4, 5)).astype(kind)
    expected = naive_labels.remap(volume, pairs)
    change(Remap(tuple(pairs.items())), volume)
    np.testing.assert_array_equal(volume, expected)
