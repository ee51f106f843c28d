"""Wires between phases: what is stored comes back, region by region, in either layout, on disk as in memory."""

from math import prod

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volconv.engine.arena import View
from volconv.engine.stores import FileStore, MemoryStore, array
from volconv.formats.scratch_file import ScratchFile
from volconv.plan.model import Store
from volconv.region import Region


def make_store(shape, layout, channels, offset=None):
    return Store("w", shape, layout, channels, prod(shape) * channels * 4, 0, 1, offset)


def make_view(region, layout, channels, border=1):
    """A buffer that holds `region` and a border around it."""
    box = Region(tuple(a - border for a in region.start), tuple(b + border for b in region.stop))
    _, h, w = box.shape
    c = channels
    steps = (prod(box.shape), h * w, w, 1) if layout == "first" else (1, h * w * c, w * c, c)
    flat = np.full(prod(box.shape) * c + 8, 7, np.float32)
    return View(3, steps, box, region, c, flat)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), shape=st.tuples(*[st.integers(1, 6)] * 3), channels=st.integers(1, 4), border=st.integers(0, 2))
@pytest.mark.parametrize("layout", ["first", "last"])
def test_a_region_comes_back_from_disk(layout, data, shape, channels, border, tmp_path):
    edges = [sorted(data.draw(st.sets(st.integers(0, n), min_size=2, max_size=2))) for n in shape]
    region = Region(tuple(e[0] for e in edges), tuple(e[1] for e in edges))
    values = np.random.default_rng(0).standard_normal((channels, *shape)).astype("f4")
    whole, part = (make_view(r, layout, channels, border) for r in (Region.whole(shape), region))
    array(whole, whole.inner)[...] = values
    file = ScratchFile(tmp_path, 4 * values.size + 12, "w")
    store = FileStore(make_store(shape, layout, channels, 12), file, np.float32)
    store.write(whole, whole.inner)
    store.read(part, region)
    inside = (slice(None), *region.slices())
    np.testing.assert_array_equal(array(part, region), values[inside])
    assert (part.flat == 7).sum() >= part.flat.size - values[inside].size  # nothing else was touched
    array(part, region)[...] *= 2
    store.write(part, region)
    values[inside] *= 2
    store.read(whole, whole.inner)
    np.testing.assert_array_equal(array(whole, whole.inner), values)
    file.close()


@pytest.mark.parametrize("layout", ["first", "last"])
def test_memory_is_filled_channel_by_channel(layout):
    store = MemoryStore(make_store((2, 3, 4), layout, 3), np.float32)
    store.fill(np.array([1, 2, 3], "f4"))
    found = array(store.view, Region((1, 1, 1), (2, 2, 3)))
    np.testing.assert_array_equal(found, np.broadcast_to(np.reshape([1, 2, 3], (3, 1, 1, 1)), (3, 1, 1, 2)))
    assert store.view.at((1, 2, 3)) == (1 * 12 + 2 * 4 + 3) * (1 if layout == "first" else 3)
