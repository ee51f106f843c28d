"""Every stage on whole label maps is found and says what memory it takes."""

import sys

import numpy as np
import pytest

from volconv.engine.whole.base import Stage, check_library, count_parts
from volconv.engine.whole.registry import STAGES, find_stage
from volconv.errors import UsageError


@pytest.mark.parametrize("kernel", STAGES)
def test_every_stage_keeps_the_contract(kernel):
    stage = find_stage(kernel)
    assert [name for name in vars(Stage) if not name.startswith("_")] == ["work_bytes", "change"]
    assert stage.work_bytes(1) >= 0
    assert callable(stage.change)


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cc3d", None)
    with pytest.raises(UsageError, match=r"need the package connected-components-3d: pip install 'volconv\[labels\]'"):
        check_library()


def test_parts_are_counted_in_blocks():
    parts = np.random.default_rng(0).integers(0, 50, (130, 100, 101)).astype(np.uint16)
    np.testing.assert_array_equal(count_parts(parts, 60), np.bincount(parts.ravel(), minlength=61))
