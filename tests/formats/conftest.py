"""Real volumes, where the environment says they are."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_volumes():
    """The folder of real volumes; the test is skipped where there is none."""
    root = os.environ.get("VOLCONV_TEST_DATA")
    if not root:
        pytest.skip("VOLCONV_TEST_DATA is not set")
    return Path(root) / "volumes"


@pytest.fixture(scope="session")
def test_scans(test_volumes):
    """All NIfTI files among them."""
    return sorted(p for p in test_volumes.rglob("*") if p.name.endswith((".nii", ".nii.gz")))
