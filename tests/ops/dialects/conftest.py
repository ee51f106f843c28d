import pytest

from volconv.ops.reader import Context
from volconv.ops.registry import get_dialect
from volconv.values import Values


def _read(dialect, name, /, shape=None, weight_shape=None, **parameters):
    """Return the canonical operator of a stage with `parameters` on an input of `shape` (D, H, W)."""
    reader = get_dialect(dialect).readers[name]
    subject = f"stage 'a' ({name})"
    channels = parameters.get("in_channels", 4)
    return reader.read(Values(parameters, subject=subject), Context(channels, weight_shape, shape=shape))


@pytest.fixture(scope="session")
def read():
    return _read
