"""Which tests of operators are slow: each compiles its kernels once more in float64."""

import pytest

CONTRACT = ("test_agrees_with_its_naive_twin[float64]", "test_every_tile_gives_the_bits_of_the_whole[float64]")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark the float64 half of the operators' contract as slow."""
    for item in items:
        if item.path.parent.name == "ops" and item.name in CONTRACT:
            item.add_marker(pytest.mark.slow)
