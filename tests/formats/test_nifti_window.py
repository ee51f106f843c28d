"""Boxes of voxels from bytes: any shape, type, byte order, offset and gap, held against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.formats import nifti_window
from volconv.formats.nifti_window import Grid, Scaling, WindowReader
from volconv.region import Region

TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


class Memory:
    """A file in memory that counts how it is read."""

    def __init__(self, data):
        self.data = data
        self.calls = 0
        self.bytes = 0

    def read_into(self, offset, out):
        self.calls += 1
        self.bytes += len(out)
        assert offset + len(out) <= len(self.data)
        out[:] = self.data[offset : offset + len(out)]


@st.composite
def cases(draw):
    ijk = tuple(draw(st.integers(1, 9)) for _ in range(3))
    volumes = draw(st.integers(1, 3))
    dtype = np.dtype(draw(st.sampled_from(TYPES))).newbyteorder(draw(st.sampled_from("<>")))
    raw = np.random.default_rng(draw(st.integers(0, 99))).bytes(volumes * int(np.prod(ijk)) * dtype.itemsize)
    ends = [sorted((draw(st.integers(0, n)), draw(st.integers(0, n)))) for n in ijk[::-1]]
    box = Region(tuple(a for a, _ in ends), tuple(b for _, b in ends))
    return ijk, volumes, dtype, raw, box, draw(st.integers(0, volumes - 1)), draw(st.integers(0, 20))


def read(store, first, ijk, dtype, scaling, volume, box, out_type, turned=False):
    out = np.full(box.shape, 77, out_type)
    if turned:
        out = np.full(box.shape[::-1], 77, out_type).transpose(2, 1, 0)
    if not box.is_empty:
        WindowReader(store, first, Grid(ijk, dtype), scaling).read(volume, box, out)
    return out


@settings(max_examples=200, deadline=None)
@given(
    cases(),
    st.sampled_from([0, 3, 1 << 14]),
    st.sampled_from([16, 64, 1 << 20]),
    st.sampled_from([1, 7, 1 << 18]),
    st.booleans(),
)
def test_every_box_equals_the_slice(case, worth, block_bytes, block_voxels, turned):
    ijk, volumes, dtype, raw, box, volume, first = case
    whole = np.frombuffer(raw, dtype).reshape(volumes, *ijk[::-1])
    before = nifti_window._WORTH_A_CALL, nifti_window.BLOCK_BYTES, nifti_window.BLOCK_VOXELS
    nifti_window._WORTH_A_CALL, nifti_window.BLOCK_BYTES, nifti_window.BLOCK_VOXELS = worth, block_bytes, block_voxels
    try:
        expected = whole[volume][box.slices()].astype(dtype.newbyteorder("="))
        file = Memory(bytes(first) + raw)
        out = read(file, first, ijk, dtype, Scaling(), volume, box, dtype.newbyteorder("="), turned)
        assert out.tobytes() == expected.tobytes()
        memory = np.frombuffer(raw, np.uint8)
        out = read(memory, 0, ijk, dtype, Scaling(), volume, box, dtype.newbyteorder("="), turned)
        assert out.tobytes() == expected.tobytes()
    finally:
        nifti_window._WORTH_A_CALL, nifti_window.BLOCK_BYTES, nifti_window.BLOCK_VOXELS = before


@settings(max_examples=100, deadline=None)
@given(cases(), st.sampled_from([(1.0, 0.0), (0.363, 0.0), (7.11, -1024.0), (-1e-30, 3.0), (1.0, 0.5)]))
def test_values_are_rounded_once(case, scaling):
    ijk, volumes, dtype, raw, box, volume, first = case
    stored = np.frombuffer(raw, dtype).reshape(volumes, *ijk[::-1])[volume][box.slices()]
    slope, intercept = scaling
    with np.errstate(all="ignore"):
        exact = stored.astype(np.float64) * slope + intercept
        for out_type in (np.float32, np.float64):
            out = read(Memory(bytes(first) + raw), first, ijk, dtype, Scaling(slope, intercept), volume, box, out_type)
            np.testing.assert_array_equal(out, exact.astype(out_type))


def test_whole_volume_takes_few_calls():
    grid = Grid((64, 64, 64), np.dtype("<f4"))
    file = Memory(bytes(grid.volume_bytes))
    WindowReader(file, 0, grid, Scaling()).read(0, Region.whole((64, 64, 64)), np.empty((64, 64, 64), np.float32))
    assert file.calls == 1
    assert file.bytes == grid.volume_bytes


def test_narrow_box_reads_a_plane_a_call():
    grid = Grid((256, 256, 64), np.dtype("<f4"))
    file = Memory(bytes(grid.volume_bytes))
    box = Region((0, 10, 20), (64, 74, 84))
    WindowReader(file, 0, grid, Scaling()).read(0, box, np.empty(box.shape, np.float32))
    assert file.calls == 64


def test_wide_rows_are_read_one_by_one():
    grid = Grid((100_000, 4, 2), np.dtype("<f4"))
    file = Memory(bytes(grid.volume_bytes))
    box = Region((0, 0, 5), (2, 4, 15))
    WindowReader(file, 0, grid, Scaling()).read(0, box, np.empty(box.shape, np.float32))
    assert (file.calls, file.bytes) == (8, 8 * 10 * 4)


@pytest.mark.parametrize(("dtype", "value", "overflows"), [("<f8", 1e300, True), ("<f8", 1e30, False), ("<f8", np.inf, False)])  # fmt: skip  # noqa: E501
def test_values_beyond_float32_are_noticed(dtype, value, overflows):
    raw = np.full((2, 2, 2), value, dtype)
    reader = WindowReader(raw.reshape(-1).view(np.uint8), 0, Grid((2, 2, 2), raw.dtype), Scaling())
    out = np.empty((2, 2, 2), np.float32)
    reader.read(0, Region.whole((2, 2, 2)), out)
    assert reader.overflowed is overflows
    assert np.isinf(out).all() == (value != 1e30)
