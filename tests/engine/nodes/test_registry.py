"""Every operator finds what runs it, and its twin."""

import importlib
import pkgutil

from volconv import ops
from volconv.engine.naive_nodes import TWINS
from volconv.engine.nodes import base
from volconv.engine.nodes.registry import FAMILIES, find_family
from volconv.graph.model import Node
from volconv.ops.base import Wire


def operators():
    """Yield every class of the package `ops` that names a kernel."""
    for module in pkgutil.iter_modules(ops.__path__):
        found = vars(importlib.import_module(f"volconv.ops.{module.name}")).values()
        yield from (cls for cls in found if isinstance(cls, type) and isinstance(getattr(cls, "kernel", None), str))


def test_every_operator_has_a_family_and_a_twin():
    kernels = {cls.kernel for cls in operators()}
    assert kernels == set(FAMILIES)
    assert kernels - {"conv"} == set(TWINS)


def test_every_family_keeps_the_contract():
    wire = Wire((1, 1, 1), 1)
    for kernel in FAMILIES:
        op = type("Op", (), {"kernel": kernel})()
        family = find_family(Node("n", "Op", op, ("input",), wire))
        wanted = [name for name in vars(base.Family) if not name.startswith("_")]
        assert wanted == ["kernels", "bind"]
        assert all(callable(getattr(family, name)) for name in wanted)
