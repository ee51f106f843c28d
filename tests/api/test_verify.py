"""Records that verification accepts and refuses; the commands' view of it is in test_inspect_file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from volconv.api.convert import convert
from volconv.api.verify import check_record, verify_output, without_text
from volconv.errors import FormatError


def test_a_dataset_too_many_or_never_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = np.ones((2, 3, 4))
    convert(tmp_path / "a.h5", tmp_path / "o.h5")
    assert verify_output(str(tmp_path / "o.h5"))["datasets"][0]["statistics"]["mean"] == 1
    assert verify_output(f"{tmp_path / 'o.h5'}:/data")["verified"]
    with h5py.File(tmp_path / "o.h5", "a") as file:
        file["z"] = np.ones((2, 3, 4))
    with pytest.raises(FormatError, match="holds /data, /z, expected by its record: /data"):
        verify_output(str(tmp_path / "o.h5"))
    with h5py.File(tmp_path / "o.h5", "a") as file:
        del file["z"], file["data"]
        file.create_dataset("data", (2, 3, 4), "f4")
    with pytest.raises(FormatError, match="never written"):
        verify_output(str(tmp_path / "o.h5"))


def test_large_integers_are_no_damage(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = np.full((2, 3, 4), 2**60 + 1)
    convert(tmp_path / "a.h5", tmp_path / "o.nii")
    assert verify_output(str(tmp_path / "o.nii"))["verified"]


def test_the_text_of_a_spec_is_left_out_and_nothing_else() -> None:
    record = {"format": 1, "spec": {"name": "a", "text": "long", "sha256": "b"}}
    assert without_text(record) == {"format": 1, "spec": {"name": "a", "sha256": "b"}}
    assert record["spec"] == {"name": "a", "text": "long", "sha256": "b"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": None}, "found weights of type NoneType"),
        ({"spec": {"text": "\ud800", "sha256": ""}}, "does not fit its SHA-256"),
    ],
)
def test_records_that_were_forged(changes: dict[str, Any], message: str) -> None:
    record: dict[str, Any] = {"format": 1, "volconv": "0", "inputs": [], "weights": [], "options": {}}
    with pytest.raises(FormatError, match=message):
        check_record({**record, "spec": {"text": "", "sha256": ""}, **changes}, "a.nii")
