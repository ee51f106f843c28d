"""How presets are found and described."""

from __future__ import annotations

import pytest

from volconv.errors import UsageError
from volconv.spec.presets import describe_presets, preset_names, preset_source, preset_text
from volconv.values import Length


def test_names_are_sorted():
    assert list(preset_names()) == sorted(preset_names())
    assert {"gaussian", "edges", "upsample"} <= set(preset_names())


def test_texts():
    assert preset_text("gaussian").startswith("# ")
    assert preset_source("gaussian") == "preset gaussian"


@pytest.mark.parametrize("name", ["gauss", "", "../presets/gaussian", "gaussian.yaml", "x" * 1000])
def test_unknown(name):
    with pytest.raises(UsageError, match=r"found no preset .*, expected one of .*gaussian"):
        preset_text(name)


def test_descriptions_come_from_the_first_comment():
    summaries = {s.name: s for s in describe_presets()}
    assert tuple(summaries) == preset_names()
    gaussian = summaries["gaussian"]
    assert gaussian.description.startswith("Smooths with a Gaussian")
    assert list(gaussian.parameters) == ["sigma", "order", "truncate"]
    assert gaussian.parameters["sigma"].default == Length(2, "mm")
    assert gaussian.parameters["sigma"].unit == "mm"
