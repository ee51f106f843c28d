"""Blocks of vectors do what their docstrings say, lane by lane, in instructions of the width asked for."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numba import types

from volconv.kernels import blocks, products, simd
from volconv.kernels.catalog import has_fma, vector_bits

KIND = blocks.Block(types.float32, 4, 2, 3)
FIRST_ONLY = blocks.Span(0, 1)
F = np.float32


@pytest.fixture
def numbers():
    return np.random.default_rng(0).standard_normal(200).astype(F)


def read(block_of_rows):
    """Return a njit function that stores the block `block_of_rows(x)` makes, whole, as (2, 3, 4)."""

    @numba.njit
    def stored(x, out):
        values = simd.spill(block_of_rows(x))
        for i in range(24):
            out[i] = values[i]

    def call(x):
        out = np.zeros(24, F)
        stored(x, out)
        return out.reshape(2, 3, 4)

    return call


def test_products_of_voxels_and_channel_vectors(numbers) -> None:
    @numba.njit
    def block(x):
        places = simd.make_places(KIND)
        places[0], places[1] = 5, 50
        return products.fma_voxels(simd.zeros(KIND), simd.pointer(x, 1), places, simd.pointer(x, 7))

    want = numbers[[6, 51]].reshape(2, 1, 1) * numbers[7:19].reshape(1, 3, 4)
    np.testing.assert_array_equal(read(block)(numbers), want)


@pytest.mark.parametrize("step", [1, 2, 0])
def test_products_of_voxel_vectors_and_channels(numbers, step) -> None:
    kind = blocks.Block(types.float32, 4, 2, 3, step)
    spacing = step or 5

    @numba.njit
    def block(x):
        return products.fma_lanes(simd.zeros(kind), simd.pointer(x, 3), spacing, simd.pointer(x, 100))

    vectors = numbers[3 : 3 + 8 * spacing : spacing].reshape(2, 1, 4)
    np.testing.assert_array_equal(read(block)(numbers), vectors * numbers[100:103].reshape(1, 3, 1))


def test_a_span_leaves_the_other_columns_alone(numbers) -> None:
    @numba.njit
    def block(x):
        sums = simd.add_columns(simd.zeros(KIND), simd.load_vectors(KIND, simd.pointer(x, 0)))
        return products.fma_span(FIRST_ONLY, sums, simd.pointer(x, 30), 1, simd.pointer(x, 100))

    got = read(block)(numbers)
    before = np.broadcast_to(numbers[:12].reshape(1, 3, 4), (2, 3, 4))
    np.testing.assert_array_equal(got[:, 1:], before[:, 1:])
    np.testing.assert_allclose(got[:, 0], before[:, 0] + numbers[30:38].reshape(2, 4) * numbers[100], rtol=1e-5)


def test_a_fused_multiply_add_rounds_once() -> None:
    @numba.njit
    def block(x):
        first = simd.add_columns(simd.zeros(KIND), simd.spread_values(KIND, simd.pointer(x, 0)))
        scale, shift = simd.spread_values(KIND, simd.pointer(x, 0)), simd.spread_values(KIND, simd.pointer(x, 3))
        return simd.scale_columns(first, scale, shift)

    tiny = F(2**-13)
    x = np.array([1 + tiny] * 3 + [-1 - 2 * tiny] * 3, F)
    assert np.all(read(block)(x) == (tiny * tiny if has_fma() else 0))


def test_bounds_and_slopes_let_nan_through() -> None:
    @numba.njit
    def clipped(x):
        first = simd.add_columns(simd.zeros(KIND), simd.load_vectors(KIND, simd.pointer(x, 0)))
        low, high = simd.spread_values(KIND, simd.pointer(x, 12)), simd.spread_values(KIND, simd.pointer(x, 15))
        return simd.clip_columns(first, low, high)

    @numba.njit
    def bent(x):
        first = simd.add_columns(simd.zeros(KIND), simd.load_vectors(KIND, simd.pointer(x, 0)))
        return simd.slope_columns(first, simd.spread_values(KIND, simd.pointer(x, 15)))

    x = np.array([np.nan, -np.inf, np.inf, -0.5, 0.5, 2, -2, 0, 1, -1, 3, -3] + [-1] * 3 + [0.25] * 3, F)
    values = x[:12].reshape(3, 4)
    np.testing.assert_array_equal(read(clipped)(x)[0], np.clip(values, F(-1), F(0.25)))
    np.testing.assert_array_equal(read(bent)(x)[1], np.where(values > 0, values, values * F(0.25)))


@pytest.mark.parametrize("count", [0, 1, 3, 4, 6, 8, 20])
@pytest.mark.parametrize("columns", [0, 2, 3])
def test_stores_end_where_they_are_told(numbers, count, columns) -> None:
    got, by_voxel = _stored(numbers, count, columns)
    block = np.broadcast_to(numbers[:12].reshape(1, 3, 4), (2, 3, 4))
    want = np.full((3, 10), F(7))
    want[:columns, : min(count, 8)] = block.transpose(1, 0, 2).reshape(3, 8)[:columns, : min(count, 8)]
    np.testing.assert_array_equal(got, want)
    want = np.full((2, 14), F(7))
    want[:, : 4 * columns] = block.reshape(2, 12)[:, : 4 * columns]
    np.testing.assert_array_equal(by_voxel, want)


def _stored(numbers, count, columns):
    out, by_voxel = np.full((3, 10), F(7)), np.full((2, 14), F(7))
    _store(numbers, out.reshape(-1), by_voxel.reshape(-1), count, columns)
    return out, by_voxel


@numba.njit
def _store(x, out, by_voxel, count, columns):
    block = simd.add_columns(simd.zeros(KIND), simd.load_vectors(KIND, simd.pointer(x, 0)))
    simd.store_lanes(block, simd.pointer(out, 0), 10, columns, count)
    places = simd.make_places(KIND)
    places[0], places[1] = 0, 14
    simd.store_voxels(block, simd.pointer(by_voxel, 0), places, columns)


def test_threads_get_different_jobs() -> None:
    @numba.njit(parallel=True)
    def count(counter, seen):
        for _thread in numba.prange(4):
            for _ in range(1000):
                seen[simd.next_job(simd.pointer(counter, 0))] += 1

    seen = np.zeros(4000, np.int64)
    count(np.zeros(1, np.int64), seen)
    assert np.all(seen == 1)


@pytest.mark.skipif(vector_bits() < 512, reason="needs 512-bit vectors")
def test_wide_vectors_are_not_split() -> None:
    kind = blocks.Block(types.float32, 16, 8, 2)

    @numba.njit
    def sums(x, out, n):
        places = simd.make_places(kind)
        total = simd.zeros(kind)
        for k in range(n):
            for r in range(8):
                places[r] = r * k
            total = products.fma_voxels(total, simd.pointer(x, k), places, simd.pointer(x, k))
        for r in range(8):
            places[r] = r * 32
        simd.store_voxels(total, simd.pointer(out, 0), places, 2)

    sums(np.zeros(10000, F), np.zeros(256, F), 3)
    (assembly,) = sums.inspect_asm().values()
    fused = [line for line in assembly.splitlines() if "vfmadd" in line and "ps" in line]
    assert fused
    assert all("zmm" in line for line in fused)


@pytest.mark.parametrize("lanes", [1, 2, 4, 16])
def test_squares_are_transposed_and_nothing_beside_them_is_written(numbers, lanes) -> None:
    kind = blocks.Block(types.float32, lanes, lanes, 1)

    @numba.njit
    def move(x, out):
        square = simd.transpose_rows(simd.load_rows(kind, simd.pointer(x, 3), 11))
        simd.store_rows(square, simd.pointer(out, 2), lanes + 1)

    out, want = np.zeros(2 + lanes * (lanes + 1), F), np.zeros(2 + lanes * (lanes + 1), F)
    square = np.lib.stride_tricks.as_strided(numbers[3:], (lanes, lanes), (44, 4))
    want[2:].reshape(lanes, lanes + 1)[:, :lanes] = square.T
    move(numbers, out)
    np.testing.assert_array_equal(out, want)
