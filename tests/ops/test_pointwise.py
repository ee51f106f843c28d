import numpy as np
import pytest

from volconv.errors import ShapeError
from volconv.ops.activations import Activation
from volconv.ops.affine import Affine
from volconv.ops.base import Wire
from volconv.ops.identity import Identity
from volconv.ops.vector_norm import VectorNorm
from volconv.testing.op_contract import Case, OpContract

SHAPE = (4, 5, 19)


class TestActivations(OpContract):
    cases = tuple(
        Case(Activation(kind, parameters), SHAPE, 3)
        for kind, parameters in {
            "relu": (), "leaky_relu": (0.1,), "elu": (1.5,), "selu": (), "gelu": (), "gelu_tanh": (), "silu": (),
            "sigmoid": (), "tanh": (), "softplus": (2.0, 3.0), "hardswish": (), "clip": (-0.5, 0.25), "abs": (),
        }.items()
    )  # fmt: skip


class TestPReLU(OpContract):
    cases = (Case(Activation("prelu", (), 1), SHAPE, 3), Case(Activation("prelu", (), 3), SHAPE, 3))


class TestAffine(OpContract):
    cases = (Case(Affine((2.0,), (1.0,)), SHAPE, 2), Case(Affine((1.0, -3.0), (0.25,)), SHAPE, 2))


class TestVectorNorm(OpContract):
    cases = (Case(VectorNorm(), SHAPE, 3), Case(VectorNorm(), SHAPE, 1))


class TestIdentity(OpContract):
    cases = (Case(Identity(), SHAPE, 2),)


@pytest.mark.parametrize("op", [Affine((1.0, 2.0), (0.0,)), Activation("prelu", (), 2)])
def test_a_number_per_channel_must_fit_the_channels(op):
    with pytest.raises(ShapeError, match="on 3 channels"):
        op.out_wire((Wire((4, 4, 4), 3),))


def test_vector_norm_is_numpys():
    case = Case(VectorNorm(), SHAPE, 3)
    from volconv.formats.in_memory import ArraySource
    from volconv.run.arrays import run_graph

    x = case.values("float64")
    found = run_graph(case.graph("float64"), ArraySource(x), 2**34, 1)["op"]
    np.testing.assert_allclose(found[0], np.linalg.norm(x, axis=0), rtol=1e-14)
