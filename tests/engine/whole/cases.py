"""Label maps for tests of stages on whole ones."""

import numpy as np


def blobs(seed, shape=(9, 10, 11), labels=4, dtype=np.uint8):
    """Parts of a few voxels up to a few dozen, of every label."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, labels, [-(-n // 2) for n in shape])
    fine = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)[tuple(slice(n) for n in shape)]
    noise = rng.integers(0, labels, shape)
    return np.where(rng.random(shape) < 0.2, noise, fine).astype(dtype)
