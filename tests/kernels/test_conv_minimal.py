"""Minimal filters along each axis: right to their bound, the same bits however a volume is cut, no spread of NaN."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels import jit
from volconv.kernels.bound_minimal import place_forward, place_transposed, transform_taps
from volconv.kernels.catalog import ConvShape, Epilogue, choose_conv, choose_filters
from volconv.kernels.catalog_filters import FILTERS, MOST_OUTPUTS, MOST_TAPS, MOST_VALUES, count_products, find_filters
from volconv.kernels.catalog_memory import packed_bytes, scratch_bytes
from volconv.kernels.conv import bind_conv, kernel_specs

from .conv_cases import SLACK, store_residual

C = 8
"""Errors stay below C * eps * sum over channels of (largest input of the window) * (sum of the taps' magnitudes)."""
ONE, TWO = (1, 1, 1), (2, 2, 2)


@dataclass(frozen=True)
class Case:
    """A layer and `box` outputs of it, whose place in the whole output is `origin`."""

    inputs: int
    outputs: int
    kernel_size: tuple[int, int, int]
    stride: tuple[int, int, int]
    box: tuple[int, int, int] = (5, 6, 7)
    dilation: tuple[int, int, int] = ONE
    transposed: bool = False
    origin: tuple[int, int, int] = (0, 0, 0)
    dtype: str = "float32"
    seed: int = 0

    @property
    def shape(self):
        """What the kernel is chosen by."""
        filters = find_filters(self.kernel_size, self.stride, self.dilation, self.transposed)
        assert filters
        taps = int(np.prod(self.kernel_size))
        return ConvShape(self.inputs, self.outputs, 1, taps, self.dtype, 1, "winograd", filters=filters)

    def random(self, size, stream):
        """Values of the case's type."""
        return np.random.default_rng((self.seed, stream)).standard_normal(size).astype(self.dtype)

    @property
    def reads(self):
        """First input of the box along each axis, and the one behind the last."""
        axes = zip(self.kernel_size, self.stride, self.dilation, self.origin, self.box, strict=True)
        if self.transposed:
            return [(-((k - 1 - o) // s), (o + n - 1) // s + 1) for k, s, _, o, n in axes]
        return [(o * s, (o + n - 1) * s + d * (k - 1) + 1) for k, s, d, o, n in axes]

    @property
    def x(self):
        """The inputs that the box needs, (C, D, H, W)."""
        return self.random((self.inputs, *(max(0, b - a) for a, b in self.reads)), 0)

    @property
    def weights(self):
        """(O, I, T)."""
        return self.random((self.outputs, self.inputs, int(np.prod(self.kernel_size))), 1)

    @property
    def bias(self):
        """(O,)."""
        return self.random((self.outputs,), 2)

    def windows(self):
        """Yield for each tap its number, the outputs of the box it adds to, and the inputs it takes them from."""
        for number, tap in enumerate(product(*map(range, self.kernel_size))):
            outputs, inputs = [], []
            axes = zip(tap, self.stride, self.dilation, self.origin, self.box, self.reads, strict=True)
            for t, s, d, o, n, (a, _) in axes:
                places = np.arange(o, o + n)
                hit = (places - t) % s == 0 if self.transposed else np.ones(n, bool)
                read = (places - t) // s if self.transposed else places * s + t * d
                outputs.append(np.flatnonzero(hit))
                inputs.append(read[hit] - a)
            yield number, np.ix_(*outputs), np.ix_(*inputs)

    def part(self, start, stop):
        """Return the case of a part of the box, and the inputs it reads, as a part of this one's."""
        cut = replace(
            self,
            origin=tuple(o + a for o, a in zip(self.origin, start, strict=True)),
            box=tuple(b - a for a, b in zip(start, stop, strict=True)),
        )
        return cut, tuple(slice(a - f, b - f) for (a, b), (f, _) in zip(cut.reads, self.reads, strict=True))


def run(case, *, x=None, weights=None, epilogue=None, bits=None, scratch=None, residual=None):
    """Compute the box of a case from the inputs it needs."""
    kernel = choose_conv(case.shape, bits)
    assert kernel.name == "minimal"
    bound = bind_conv(kernel, case.shape, case.weights if weights is None else weights, case.bias, epilogue)
    x = np.ascontiguousarray((case.x if x is None else x).transpose(1, 2, 3, 0))
    room = np.full(x.size + SLACK, np.nan, x.dtype)  # nothing beyond the window may matter
    room[: x.size] = x.ravel()
    stored = -(-case.outputs // kernel.channel_multiple) * kernel.channel_multiple
    out = np.full((*case.box, stored), np.nan, x.dtype)
    steps, out_steps = ((1, *(s // a.itemsize for s in a.strides[:3])) for a in (x, out))
    other = None if residual is None else store_residual(residual, kernel, 2)
    flat = out.reshape(-1)
    if case.transposed:
        bound.run_transposed(
            room, 0, steps, case.reads, flat, 0, out_steps, case.box, case.origin, scratch, other
        )  # fmt: skip
    else:
        grid = np.meshgrid(*map(np.arange, case.kernel_size), indexing="ij")
        taps = sum(t * d * s for t, d, s in zip(grid, case.dilation, steps[1:], strict=True)).ravel()
        between = (1, *(s * n for s, n in zip(case.stride, steps[1:], strict=True)))
        bound.run(room, 0, between, taps, flat, 0, out_steps, case.box, case.origin, scratch, other)
    return out.transpose(3, 0, 1, 2)[: case.outputs]


def exact(case, x=None):
    """Return the sums with bias in float64, and the bound of their errors without C."""
    x = (case.x if x is None else x).astype(float)
    weights = case.weights.astype(float)
    total = np.zeros((case.outputs, *case.box))
    largest, magnitude = np.zeros((case.inputs, *case.box)), np.zeros((case.outputs, case.inputs, *case.box))
    with np.errstate(invalid="ignore"):
        for tap, out, read in case.windows():
            values = x[(slice(None), *read)]
            total[(slice(None), *out)] += np.einsum("oc,cdhw->odhw", weights[:, :, tap], values)
            largest[(slice(None), *out)] = np.maximum(largest[(slice(None), *out)], abs(values))
            magnitude[(slice(None), slice(None), *out)] += abs(weights[:, :, tap])[..., None, None, None]
    total += case.bias.reshape(-1, 1, 1, 1).astype(float)
    return total, np.finfo(case.dtype).eps * np.einsum("cdhw,ocdhw->odhw", largest, magnitude)


# few kernels, since compiling each takes seconds; what is along d is part of none
KINDS = {
    "stride 2": Case(18, 33, (3, 3, 3), TWO),
    "stride 2 in a plane": Case(5, 33, (3, 3, 3), (1, 2, 2), dilation=(2, 1, 1)),
    "stride 2 along d": Case(21, 16, (4, 3, 3), (2, 1, 1), dilation=(1, 2, 1)),
    "four taps": Case(16, 33, (4, 4, 4), TWO),
    "flat": Case(40, 16, (1, 3, 3), ONE, dilation=(1, 1, 3)),
    "rows": Case(21, 12, (3, 1, 3), ONE),
    "float64": Case(9, 12, (3, 3, 3), TWO, dtype="float64"),
    "transposed": Case(18, 33, (3, 3, 3), TWO, transposed=True, box=(6, 9, 11)),
    "transposed, four taps": Case(16, 33, (4, 4, 4), TWO, transposed=True, box=(6, 9, 11)),
    "transposed, in a plane": Case(5, 33, (1, 3, 3), (1, 2, 2), transposed=True, box=(3, 9, 11)),
    "transposed, float64": Case(9, 12, (4, 3, 3), TWO, transposed=True, dtype="float64"),
}
FAST = ["stride 2", "transposed"]
cases = st.builds(
    lambda kind, box, origin, seed: replace(KINDS[kind], box=box, origin=origin, seed=seed),
    st.sampled_from(sorted(KINDS)),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.integers(-9, 9)] * 3),
    st.integers(0, 99),
)
every_kind = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in FAST else pytest.mark.slow) for kind in KINDS]
)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_is_its_direct_sums_and_reads_nothing_else(name) -> None:
    f = FILTERS[name]
    taps = len(f.weights[0])
    values, weights = np.zeros((len(f.values), f.inputs)), np.array(f.weights, float)
    for n, terms in enumerate(f.values):
        for index, sign in terms:
            values[n, index] += sign
    points = np.zeros((f.points, f.inputs, taps))
    read = np.zeros((f.points, f.inputs), bool)
    for value, weight, point in f.products:
        points[point] += np.outer(values[value], weights[weight])
        read[point] |= values[value] != 0
    for terms, direct in zip(f.sums, f.taps, strict=True):
        want = np.zeros((f.inputs, taps))
        for index, tap in direct:
            want[index, tap] += 1
        np.testing.assert_array_equal(sum(sign * points[point] for point, sign in terms), want)
        np.testing.assert_array_equal(np.any([read[point] for point, _ in terms], axis=0), want.any(1))
        assert terms[0][1] == 1
        assert [point for point, _ in terms] == sorted(point for point, _ in terms)
    assert all(terms[0][1] == 1 and len(terms) <= 2 for terms in f.values)
    numbers = [point for *_, point in f.products]
    assert sorted(set(numbers)) == list(range(f.points))
    assert numbers == sorted(numbers)
    assert max(map(numbers.count, numbers)) <= MOST_VALUES
    assert max(sum(point in dict(terms) for terms in f.sums) for point in range(f.points)) <= MOST_OUTPUTS
    assert max(map(len, f.taps)) <= MOST_TAPS


def test_products_saved() -> None:
    assert count_products(find_filters((3, 3, 3), TWO, ONE)) == (125, 216)
    assert count_products(find_filters((3, 3, 3), TWO, ONE, transposed=True)) == (125, 216)
    assert count_products(find_filters((4, 4, 4), TWO, ONE, transposed=True)) == (216, 512)
    assert count_products(find_filters((1, 3, 3), ONE, ONE)) == (32, 72)


@pytest.mark.parametrize(
    ("layer", "chosen"),
    [
        (((3, 3, 3), TWO, ONE, 1, 32, 64), True),
        (((3, 3, 3), (1, 2, 2), ONE, 1, 32, 64), True),
        (((1, 3, 3), ONE, (1, 16, 16), 1, 32, 32), True),
        (((3, 3, 3), ONE, ONE, 1, 32, 32), False),  # a kernel of its own
        (((3, 3, 3), TWO, TWO, 1, 32, 64), False),
        (((1, 3, 3), ONE, (1, 17, 1), 1, 32, 32), False),
        (((1, 3, 3), ONE, (17, 1, 1), 1, 32, 32), True),  # of one tap
        (((3, 3, 3), TWO, ONE, 2, 32, 64), False),
        (((3, 3, 3), (3, 2, 2), ONE, 1, 32, 64), False),
        (((5, 3, 3), TWO, ONE, 1, 32, 64), False),
        (((2, 2, 2), TWO, ONE, 1, 32, 64), False),
        (((1, 1, 1), ONE, ONE, 1, 320, 320), False),  # nothing saved
        (((3, 3, 3), TWO, ONE, 1, 8, 64), False),  # transforms would take longer
        (((4, 4, 4), TWO, ONE, 1, 64, 32, True), True),
        (((3, 3, 3), ONE, ONE, 1, 64, 32, True), False),
        (((4, 4, 4), TWO, TWO, 1, 64, 32, True), False),
    ],
)
def test_filters_are_chosen_where_they_save_products(layer, chosen) -> None:
    assert bool(choose_filters(*layer)) is chosen


@every_kind
def test_errors_stay_below_the_bound(kind) -> None:
    case = replace(KINDS[kind], origin=(1, -2, 3))
    want, bound = exact(case)
    # the bound is of the sums: the bias is added to them, and rounded once; in float64 the oracle rounds as well
    ulps = 8 if case.dtype == "float64" else 0.5
    assert np.all(abs(run(case) - want) <= C * bound + ulps * np.finfo(case.dtype).eps * abs(want))


@pytest.mark.slow
@given(cases)
@settings(max_examples=100, deadline=None)
def test_errors_stay_below_the_bound_wherever_a_box_lies(case) -> None:
    want, bound = exact(case)
    ulps = 8 if case.dtype == "float64" else 0.5
    assert np.all(abs(run(case) - want) <= C * bound + ulps * np.finfo(case.dtype).eps * abs(want))


def check_part(case, data):
    start = [data.draw(st.integers(0, n - 1)) for n in case.box]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, case.box, strict=True)]
    cut, window = case.part(start, stop)
    got = run(cut, x=case.x[(slice(None), *window)], weights=case.weights)
    inside = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    np.testing.assert_array_equal(got, run(case)[(slice(None), *inside)])


@given(st.sampled_from(FAST), st.tuples(*[st.integers(-9, 9)] * 3), st.data())
@settings(max_examples=20, deadline=None)
def test_a_part_has_the_bits_of_the_whole(kind, origin, data) -> None:
    check_part(replace(KINDS[kind], origin=origin), data)


@pytest.mark.slow
@given(cases, st.data())
@settings(max_examples=100, deadline=None)
def test_any_part_has_the_bits_of_the_whole(case, data) -> None:
    check_part(case, data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*FAST, "float64"])
def test_threads_and_vector_widths_give_the_same_bits(kind) -> None:
    case = replace(KINDS[kind], box=(5, 9, 21))
    whole, before = run(case), jit.thread_count()
    try:
        jit.set_threads(1)
        np.testing.assert_array_equal(run(case), whole)
    finally:
        jit.set_threads(before)
    for bits in (128, 256, 512):
        np.testing.assert_array_equal(run(case, bits=bits), whole)


@pytest.mark.parametrize("kind", FAST)
def test_no_more_threads_than_there_is_memory_for(kind) -> None:
    case = replace(KINDS[kind], box=(9, 17, 21))
    whole, before = run(case), jit.thread_count()
    bound = bind_conv(choose_conv(case.shape), case.shape, case.weights)
    room = np.full(4 * bound.scratch_elements(1), 7, case.dtype)
    mine = room[: bound.scratch_elements(1)]
    try:
        jit.set_threads(4)  # as another run in this process may, while one for a single thread is under way
        np.testing.assert_array_equal(run(case, scratch=mine), whole)
    finally:
        jit.set_threads(before)
    assert np.all(room[mine.size :] == 7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@every_kind
def test_what_is_not_finite_reaches_its_own_windows_alone(kind, bad) -> None:
    case = replace(KINDS[kind], origin=(1, 2, -3))
    clean, x = run(case), case.x.copy()
    x[3, -1, 2, 2] = bad
    x[4, 0, 1, 3] = bad
    reached = np.zeros(case.box, bool)
    for _, out, read in case.windows():
        reached[out] |= ~np.isfinite(x[(slice(None), *read)]).all(0)
    got = run(case, x=x)
    assert reached.any()
    np.testing.assert_array_equal(got[:, ~reached], clean[:, ~reached])
    assert not np.isfinite(got[:, reached]).any()
    want, _ = exact(case, x)
    np.testing.assert_array_equal(np.isposinf(got), np.isposinf(want))
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(want))


@every_kind
def test_weights_whose_sums_overflow_are_used_directly(kind) -> None:
    case = KINDS[kind]
    x, largest = np.zeros_like(case.x), np.finfo(case.dtype).max
    x[2, 1, 2, 2] = 0.5
    got = run(case, x=x, weights=np.full_like(case.weights, largest))
    reached = np.zeros(case.box, bool)
    for _, out, read in case.windows():
        reached[out] |= (x[(slice(None), *read)] != 0).any(0)
    want = np.where(reached, largest / 2, 0) + case.bias[:, None, None, None]
    np.testing.assert_array_equal(got, want.astype(case.dtype))


def test_inputs_near_the_largest_number_are_summed_directly() -> None:
    case = KINDS["stride 2"]
    weights = np.zeros(case.weights.shape, np.float32)
    weights[:, 0, 13] = 1
    x = np.full(case.x.shape, 1.5e38, np.float32)
    x[:, ::2] *= -1
    got = run(replace(case, seed=1), x=x, weights=weights)
    want, _ = exact(replace(case, seed=1), x)
    assert np.isfinite(want).all()
    np.testing.assert_array_equal(got, np.float32(1.5e38))


def check_epilogue(case, activation):
    scale, shift = (np.random.default_rng(s).standard_normal(case.outputs).astype("f4") for s in (4, 5))
    parameters = (0.1,) if activation == "leaky_relu" else ()
    got = run(case, epilogue=Epilogue(scale, shift, activation, parameters))
    want, bound = exact(case)
    v = want * scale[:, None, None, None] + shift[:, None, None, None]
    expected = {
        "relu": np.maximum(v, 0), "leaky_relu": np.where(v > 0, v, 0.1 * v), "sigmoid": 1 / (1 + np.exp(-v)),
    }[activation]  # fmt: skip
    far = (C * bound + 2 * np.finfo(case.dtype).eps * abs(want)) * abs(scale[:, None, None, None])
    assert np.all(abs(got - expected) <= far + 4 * np.finfo(case.dtype).eps * (1 + abs(v)))


@every_kind
def test_the_epilogue_follows_the_sum(kind) -> None:
    check_epilogue(KINDS[kind], "relu")


@pytest.mark.parametrize("activation", ["leaky_relu", "sigmoid"])
@pytest.mark.parametrize("kind", FAST)
def test_every_activation_follows_the_sum(kind, activation) -> None:
    check_epilogue(KINDS[kind], activation)


@pytest.mark.parametrize("where", ["before", "after"])
@every_kind
def test_a_residual_is_added(kind, where) -> None:
    case = KINDS[kind]
    other = case.random((case.outputs, *case.box), 7)
    other[0, 0, 1, 2], other[-1, -1, -1, -1] = np.nan, np.inf
    got = run(case, epilogue=Epilogue(activation="relu", residual=where), residual=other)
    plain = run(case)
    want = np.maximum(plain + other, 0) if where == "before" else np.maximum(plain, 0) + other
    np.testing.assert_array_equal(got, want)
    start, stop = (1, 2, 1), tuple(n - 1 for n in case.box)
    cut, window = case.part(start, stop)
    inside = (slice(None), *(slice(a, b) for a, b in zip(start, stop, strict=True)))
    got = run(
        cut, x=case.x[(slice(None), *window)], epilogue=Epilogue(activation="relu", residual=where),
        residual=other[inside],
    )  # fmt: skip
    np.testing.assert_array_equal(got, want[inside])


@given(st.sampled_from([(1, 1), (3, 1), (3, 2), (4, 2)]), st.integers(-40, 40), st.integers(1, 30), st.integers(1, 9))
def test_forward_tiles_cover_each_output_once(kind, start, count, dilation) -> None:
    size, stride = kind
    dilation = dilation if stride == 1 and size > 1 else 1
    (name, *_) = find_filters((size,) * 3, (stride,) * 3, (dilation,) * 3)
    f = FILTERS[name]
    table = place_forward(f, start, count, stride, dilation, 1)
    inputs, outputs = table[:, : f.inputs], table[:, f.inputs :]
    np.testing.assert_array_equal(np.sort(outputs[outputs >= 0]), np.arange(count))
    for n, taps in enumerate(f.taps):
        inside = outputs[:, n] >= 0
        for index, tap in taps:
            np.testing.assert_array_equal(inputs[inside, index], outputs[inside, n] * stride + tap * dilation)
        assert np.all((outputs[inside, n] + start) // dilation % 2 == n)
    assert inputs.min() >= 0
    assert inputs.max() <= (count - 1) * stride + dilation * (size - 1)


@given(st.sampled_from([(1, 1), (3, 2), (4, 2)]), st.integers(-40, 40), st.integers(1, 30))
def test_transposed_tiles_cover_each_output_once(kind, start, count) -> None:
    size, stride = kind
    (name, *_) = find_filters((size,) * 3, (stride,) * 3, ONE, transposed=True)
    f = FILTERS[name]
    reads = -((size - 1 - start) // stride), (start + count - 1) // stride + 1
    table = place_transposed(f, start, count, reads, 1, 1)
    inputs, outputs = table[:, : f.inputs] + reads[0], table[:, f.inputs :]
    np.testing.assert_array_equal(np.sort(outputs[outputs >= 0]), np.arange(count))
    for n, taps in enumerate(f.taps):
        inside = outputs[:, n] >= 0
        for index, tap in taps:
            np.testing.assert_array_equal(inputs[inside, index] * stride + tap, outputs[inside, n] + start)
        assert np.all((outputs[inside, n] + start) % f.outputs == n)
    assert inputs.min() >= reads[0]
    assert inputs.max() < max(reads[0] + 1, reads[1])


def test_transformed_weights_are_exact_for_small_integers() -> None:
    weights = np.random.default_rng(0).integers(-8, 8, (2, 3, 36)).astype(np.float32)
    filters = [FILTERS[name] for name in ("three_by_two", "three", "four_by_two")]
    tables = [np.array(f.weights) for f in filters]
    want = np.einsum("ai,bj,ck,nmijk->nmabc", *tables, weights.reshape(2, 3, 3, 3, 4))
    np.testing.assert_array_equal(transform_taps(weights, filters), want.reshape(2, 3, -1))


@pytest.mark.parametrize("kind", FAST)
@pytest.mark.parametrize("channels", [(12, 12), (16, 32), (21, 70), (128, 64)])
def test_the_plan_knows_what_is_kept(monkeypatch, kind, channels) -> None:
    monkeypatch.setattr(jit, "get_kernel", lambda _: None)  # bound, never run
    case = replace(KINDS[kind], inputs=channels[0], outputs=channels[1])
    kernel = choose_conv(case.shape)
    bound = bind_conv(kernel, case.shape, case.weights, case.bias)
    assert packed_bytes(kernel, case.shape) == bound.nbytes
    (spec,) = kernel_specs(kernel, case.shape, Epilogue())
    assert spec.name == "conv_minimal.conv"
    assert bound.scratch_elements(3) == 3 * bound.scratch_elements(1) > 0
    assert scratch_bytes(kernel, case.shape, 3) == 4 * bound.scratch_elements(3)


@pytest.mark.parametrize("kind", FAST)
def test_no_box_no_work(kind) -> None:
    case = replace(KINDS[kind], box=(0, 3, 3))
    assert run(case, x=np.zeros((case.inputs, 1, 1, 1), np.float32)).size == 0
