"""The table: what every generator has in common."""

import jsonschema
import numpy as np
import pytest

from volconv.errors import SpecError
from volconv.weights.generators import GENERATORS, generator_schemas

EXAMPLES = {
    "gaussian": {"sigma": 1.5, "order": [0, 1, 0], "truncate": 3},
    "log": {"sigma": 1},
    "dog": {"sigma": 1, "ratio": 2},
    "laplacian": {},
    "mean": {"size": 5},
    "sobel": {},
    "prewitt": {},
    "gradient": {},
    "unsharp": {"sigma": "2mm", "amount": 0.5},
    "laws": {"code": "L5E5S5"},
    "gabor": {"sigma": 2, "wavelength": "4mm", "gamma": 1, "theta": 0.5, "plane": "dw"},
}
FLAT = {"gaussian": {"sigma": 1.5}, "laws": {"code": "L5E5"}, "gabor": {"sigma": 2, "wavelength": 3}}


def test_every_generator_has_an_example():
    assert set(EXAMPLES) == set(GENERATORS)


@pytest.mark.parametrize("name", GENERATORS)
def test_filters_in_three_dimensions(filters, name):
    taps = filters(name, spacing_mm=(1, 1, 1), **EXAMPLES[name])
    assert taps.dtype == np.float64
    assert taps.flags.c_contiguous
    assert taps.ndim == 4
    assert len(taps) == GENERATORS[name].filters_3d
    assert all(k % 2 == 1 for k in taps.shape[1:])


@pytest.mark.parametrize("name", GENERATORS)
def test_filters_in_two_dimensions(filters, name):
    taps = filters(name, spacing_mm=(1, 1, 1), ndim=2, **FLAT.get(name, EXAMPLES[name]))
    assert taps.ndim == 3
    assert len(taps) == GENERATORS[name].filters_2d
    assert all(k % 2 == 1 for k in taps.shape[1:])


@pytest.mark.parametrize("name", GENERATORS)
def test_unknown_parameters_name_the_nearest(filters, name):
    parameter = GENERATORS[name].parameters[0].name
    with pytest.raises(SpecError, match=f"did you mean '{parameter}'"):
        filters(name, **{parameter + "s": 1})


@pytest.mark.parametrize("name", GENERATORS)
def test_required_parameters_are_missed(filters, name):
    for parameter in GENERATORS[name].required:
        left = {k: v for k, v in EXAMPLES[name].items() if k != parameter}
        with pytest.raises(SpecError, match=f"no {parameter}"):
            filters(name, spacing_mm=(1, 1, 1), **left)


@pytest.mark.parametrize(("name", "match"), [("gausian", "did you mean 'gaussian'"), ("", "one of"), (7, "one of")])
def test_unknown_generators(filters, name, match):
    with pytest.raises(SpecError, match=match) as caught:
        filters(name, sigma=1)
    assert "gabor" in str(caught.value)


@pytest.mark.parametrize("name", GENERATORS)
def test_schemas_accept_the_examples_and_parameters_by_name(name):
    properties = generator_schemas()[name]
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(EXAMPLES[name], schema)
    jsonschema.validate({"kernel_size": [3, "5mm", 3]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"kernel_size": "wide"}, schema)


@pytest.mark.parametrize("name", GENERATORS)
def test_descriptions_are_whole(name):
    generator = GENERATORS[name]
    assert generator.name == name
    assert generator.summary
    assert all(p.help for p in generator.parameters)
    assert {p.name for p in generator.parameters} >= set(generator.required)
