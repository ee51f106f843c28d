"""`volconv check`."""

import json

import jsonschema
import numpy as np
import pytest

SPEC = """volconv: 1
name: two
weights: two.npz
stages:
  - {op: Conv3d, name: first, kernel_size: 3}
  - {op: ReLU}
"""


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "two.yaml").write_text(SPEC)
    np.savez(tmp_path / "two.npz", **{"first.weight": np.ones((4, 1, 3, 3, 3)), "first.bias": np.zeros(4)})
    return tmp_path


def test_report(volconv, spec):
    result = volconv("check", "two.yaml")
    assert result.exit_code == 0, result.stderr
    assert "name: two" in result.stdout
    assert "first" in result.stdout
    assert json.loads(volconv("check", "two.yaml", "--json").stdout)["name"] == "two"
    assert spec.exists()


def test_fault_is_one_line_with_its_place(volconv, spec):
    (spec / "two.yaml").write_text(SPEC.replace("kernel_size", "kernel_sise"))
    result = volconv("check", "two.yaml")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("volconv: two.yaml: line 5, column ")
    assert "kernel_size" in result.stderr
    assert result.stderr.count("\n") == 1


def test_weights_are_checked_too(volconv, spec):
    np.savez(spec / "other.npz", **{"first.weight": np.ones((4, 2, 3, 3, 3)), "first.bias": np.zeros(4)})
    assert volconv("check", "two.yaml", "-w", "other.npz").exit_code == 3
    assert volconv("check", "two.yaml", "-w", "none.npz").exit_code == 2


def test_every_preset_is_in_order(volconv):
    names = [entry["name"] for entry in json.loads(volconv("presets", "list", "--json").stdout)]
    for name in names:
        result = volconv("check", name)
        assert result.exit_code == 0, result.stderr


def test_schema(volconv):
    result = volconv("check", "--schema")
    assert result.exit_code == 0, result.stderr
    schema = json.loads(result.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = {"volconv": 1, "name": "a", "stages": [{"op": "ReLU"}]}
    jsonschema.validate(valid, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**valid, "stages": [{"op": "RELU"}]}, schema)
