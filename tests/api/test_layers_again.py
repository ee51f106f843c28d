"""Layers and pipelines called again and again: what they keep between calls is never seen in a result."""

import copy
import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import volconv
from volconv.errors import BudgetError

RNG = np.random.default_rng(3)
X = RNG.standard_normal((2, 7, 8, 9)).astype("f4")


def make(**parameters):
    return volconv.Conv3d(2, 3, 3, padding=1, init="default", **parameters)


def fresh(layer, x):
    """Return what a copy of `layer`, which has kept nothing, gives."""
    return copy.deepcopy(layer)(x)


def test_calls_repeat_to_the_bit_and_results_are_their_own():
    layer = make()
    first = layer(X)
    kept = first.copy()
    second = layer(2 * X)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(layer(X), kept)
    np.testing.assert_array_equal(second, fresh(layer, 2 * X))
    first[...] = np.nan  # a result is the caller's to write to
    np.testing.assert_array_equal(layer(X), kept)


def test_memory_of_a_dropped_result_serves_the_next_and_that_of_a_view_does_not():
    layer = make()
    first = layer(X)
    address, part = first.ctypes.data, first[1, :, 2]
    held = part.copy()
    del first
    second = layer(-X)
    assert second.ctypes.data != address
    np.testing.assert_array_equal(part, held)
    del part
    gc.collect()
    assert layer(X).ctypes.data == address


def test_weights_may_be_changed_in_any_way():
    layer = make()
    for change in ("item", "part", "whole", "bias", "zero", "not finite", "back"):
        before = layer(X)
        if change == "item":
            layer.weight[2, 1, 0, 0, 0] += 1
        elif change == "part":
            layer.weight[1] *= -3
        elif change == "whole":
            layer.weight = np.ones(layer.weight_shape)
        elif change == "bias":
            layer.bias[0] = 5
        elif change == "zero":
            layer.weight[...] = -0.0
        elif change == "not finite":
            layer.weight[0, 0, 1, 1, 1] = np.inf
        else:
            layer.weight[...] = 1
        assert layer(X).tobytes() == fresh(layer, X).tobytes()
        assert (layer(X) != before).any()


def test_the_type_of_a_layer_may_be_changed():
    layer = make()
    layer(X)
    layer.dtype = "float64"
    assert layer(X).dtype == np.float64
    np.testing.assert_array_equal(layer(X), fresh(layer, X))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 2), *[st.integers(3, 6)] * 3), min_size=2, max_size=6))
def test_shapes_may_change_from_call_to_call(shapes):
    layer = make()
    for count, *shape in shapes:
        x = RNG.standard_normal((count, 2, *shape)).astype("f4")
        np.testing.assert_array_equal(layer(x), fresh(layer, x))
    assert len(layer._runs._entries) <= 2


@pytest.mark.parametrize("name", ["float32", "float64", "float16"])
def test_an_input_may_lie_in_memory_in_any_way(name):
    layer, x = make(dtype=name), X.astype(name)
    expected = layer(x)
    padded = np.zeros((2, 9, 10, 24), name)
    padded[:, 1:8, 1:9, 2:20:2] = x
    packed = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)
    readonly = x.copy()
    readonly.flags.writeable = False
    for other in (
        np.asfortranarray(x),
        padded[:, 1:8, 1:9, 2:20:2],
        np.ascontiguousarray(x[:, ::-1, :, ::-1])[:, ::-1, :, ::-1],
        np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0),
        x.astype(x.dtype.newbyteorder()),
        packed,
        readonly,
    ):
        np.testing.assert_array_equal(other, x)
        np.testing.assert_array_equal(layer(other), expected)
    one = np.broadcast_to(x[:1, :1, :1, :1], x.shape)
    np.testing.assert_array_equal(layer(one), layer(one.copy()))


def test_threads_may_share_a_layer():
    layer = make()
    inputs = [RNG.standard_normal((2, 5 + n % 3, 6, 7)).astype("f4") for n in range(6)]
    expected = [fresh(layer, x) for x in inputs]
    wrong = []

    def work(turn):
        for n in range(12):
            at = (n + turn) % len(inputs)
            if layer(inputs[at]).tobytes() != expected[at].tobytes():
                wrong.append(at)

    workers = [threading.Thread(target=work, args=(turn,)) for turn in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_what_is_kept_goes_with_the_layer_and_results_stay():
    layer = make()
    result = layer(X)
    expected = result.copy()
    engine = weakref.ref(layer._runs._entries[0].run._engine)
    assert layer._runs.nbytes > 0
    del layer
    gc.collect()
    assert engine() is None
    np.testing.assert_array_equal(result, expected)


def test_a_transposed_layer_is_asked_for_other_sizes():
    layer = volconv.ConvTranspose3d(2, 3, 3, stride=2, padding=1, init="default")
    for size in ((13, 15, 17), (14, 15, 18), (13, 15, 17)):
        expected = copy.deepcopy(layer)(X, output_size=size)
        np.testing.assert_array_equal(layer(X, output_size=size), expected)


def test_a_pipeline_sees_its_weights_file_change(tmp_path):
    spec = {"volconv": 1, "input": {"channels": 2}, "stages": [
        {"op": "Conv3d", "name": "c", "out_channels": 3, "kernel_size": 3, "padding": 1},
    ]}  # fmt: skip
    path = tmp_path / "w.npz"
    pipe = None
    for scale in (1, 2):
        layer = make()
        layer.weight = scale * layer.weight
        np.savez(path, **{"c.weight": layer.weight, "c.bias": layer.bias})
        pipe = pipe or volconv.load(spec, weights=path)
        for _ in range(2):
            np.testing.assert_array_equal(pipe(X), layer(X))
        np.testing.assert_array_equal(pipe(X, tile=(3, 4, 5), threads=1), layer(X))
        with pytest.raises(BudgetError):
            pipe(X, memory="1MB")
        assert not pipe._runs._entries
    path.unlink()
    with pytest.raises(volconv.VolconvError):
        pipe(X)
