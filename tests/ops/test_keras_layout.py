"""The layout of Keras for every convolution: a permutation there and back, and names as Keras writes them."""

import numpy as np
import pytest

from volconv.dialects import dialect_names
from volconv.ops.keras_layout import as_keras, keras_key
from volconv.ops.reader import Context
from volconv.ops.registry import get_dialect
from volconv.values import Values


@pytest.mark.parametrize("dialect", dialect_names())
@pytest.mark.parametrize("name", ["Conv3d", "Conv2d", "ConvTranspose3d", "ConvTranspose2d"])
def test_kernels_go_there_and_back(dialect, name):
    rank, transposed = int(name[-2]), "Transpose" in name
    groups = 1 if transposed else 2
    values = {"out_channels": 6, "kernel_size": [2, 3, 4][:rank], "groups": groups}
    reader = get_dialect(dialect).readers[name]
    op = reader.read(Values(values), Context(4))
    keras = as_keras(reader)
    first, second = (4, 6) if transposed else (6, 4 // groups)
    assert keras.stored_shapes(op) == {"weight": (*values["kernel_size"], second, first), "bias": (6,)}
    kernel = np.arange(first * second * 2 * 3 * 4).reshape(first, second, 2, 3, 4)[..., : 4 if rank == 3 else 1]
    if rank == 2:
        kernel = kernel[..., 0]
    stored = np.moveaxis(kernel, (0, 1), (-1, -2))
    assert keras.plain_shape(stored.shape) == kernel.shape
    found = keras.canonical(op, "weight", stored)
    np.testing.assert_array_equal(found.reshape(kernel.shape), kernel)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(keras.canonical(op, "bias", np.arange(6)), np.arange(6))


@pytest.mark.parametrize(
    ("keys", "tensor", "expected"),
    [
        (["a.kernel", "a.bias"], "weight", "a.kernel"),
        (["a.a.kernel:0", "aa.aa.kernel:0", "b.a.kernel:0"], "weight", "a.a.kernel:0"),
        (["a.net.a.bias:0", "a.net.b.bias:0"], "bias", "a.net.a.bias:0"),
        (["a.x.a.bias", "a.y.a.bias"], "bias", "a.bias"),
        (["a.vars.0", "a.vars.1"], "bias", "a.vars.1"),
        (["ab.vars.0", "a.vars.01"], "weight", "a.kernel"),
        ([], "bias", "a.bias"),
    ],
)
def test_names(keys, tensor, expected):
    assert keras_key(keys, "a", get_dialect("torch").readers["Conv3d"], tensor) == expected
