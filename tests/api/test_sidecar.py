"""The sidecar: what it holds, what it must not tell, and that verification finds what changed since."""

import gzip
import hashlib
import json
import os
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest

import volconv
from volconv.api.options import make_options
from volconv.api.sidecar import find_digest, list_words, strip_path
from volconv.api.verify import verify_output
from volconv.errors import FormatError

SPEC = {
    "volconv": 1,
    "name": "small",
    "parameters": {"slope": {"default": 1.0}},
    "stages": [
        {"op": "Conv3d", "name": "a", "out_channels": 2, "kernel_size": 3, "padding": 1},
        {"op": "Affine", "scale": "$slope"},
    ],
}


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(0)
    return {"a.weight": rng.normal(size=(2, 1, 3, 3, 3)).astype("f4"), "a.bias": np.array([1, 2], "f4")}


@pytest.fixture
def folder(tmp_path, weights):
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    values = np.random.default_rng(0).standard_normal((6, 7, 8)).astype("f4")
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "scan.nii.gz")
    np.savez(tmp_path / "weights.npz", **weights, other=np.zeros(3, "f4"))
    return tmp_path


def run(folder, output, **options):
    settings = {"weights": folder / "weights.npz", "sidecar": True, "settings": {"slope": 2.0}, "threads": 1}
    return volconv.run(folder / "spec.json", folder / "scan.nii.gz", folder / output, **settings | options)


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_everything_that_made_the_output(folder, weights):
    summary = run(folder, "out.nii", dtype="int16")
    text = (folder / "out.json").read_text()
    sidecar = json.loads(text)
    (made,) = sidecar["GeneratedBy"]
    assert (made["Name"], made["Version"]) == ("volconv", volconv.__version__)
    assert len(made["KernelSource"]) == 64
    scan = folder / "scan.nii.gz"
    assert sidecar["Sources"] == [{"name": scan.name, "size": scan.stat().st_size, "sha256": sha256(scan)}]
    assert sidecar["spec"]["text"] == (folder / "spec.json").read_text()
    assert sidecar["spec"]["sha256"] == sha256(folder / "spec.json")
    (file,) = sidecar["weights"]
    assert (file["name"], file["sha256"]) == ("weights.npz", sha256(folder / "weights.npz"))
    assert file["tensors"].keys() == weights.keys()  # the others were not read
    for name, values in weights.items():
        assert file["tensors"][name]["sha256"] == hashlib.sha256(values.tobytes()).hexdigest()
        assert file["tensors"][name]["shape"] == list(values.shape)
    (output,) = sidecar["outputs"]
    (written,) = output["files"]
    out = folder / "out.nii"
    assert written == {"name": "out.nii", "size": out.stat().st_size, "sha256": sha256(out)}
    line = "volconv run spec.json scan.nii.gz -o out.nii --set slope=2.0 -w weights.npz --dtype int16"
    assert " ".join(sidecar["command"]) == line
    assert sidecar["seconds"] == summary["seconds"] > 0
    assert sidecar["plan"]["tiles"]["count"] == sidecar["tiles"] == 1
    assert len(sidecar["plan_sha256"]) == 64
    assert sidecar["arithmetic"] in ("fma", "no-fma")
    assert sidecar["machine"].keys() == {"system", "architecture", "python"}
    assert str(folder) not in text  # no path that tells of the user
    assert os.uname().nodename not in (*sidecar["machine"].values(), *sidecar["command"])


def test_the_command_does_the_same(folder, monkeypatch):
    run(folder, "out.nii.gz", save={"a": str(folder / "a.nii")}, channels="vector")
    words = json.loads((folder / "out.json").read_text())["command"]
    before = (folder / "out.nii.gz").read_bytes(), (folder / "a.nii").read_bytes()
    monkeypatch.chdir(folder)
    from click.testing import CliRunner

    from volconv.cli.main import cli

    assert CliRunner().invoke(cli, [*words[1:], "--force"]).exit_code == 0
    assert before == ((folder / "out.nii.gz").read_bytes(), (folder / "a.nii").read_bytes())


def test_paths_are_relative_or_names():
    here = Path("/data/study")
    assert strip_path("scan.nii", here) == "scan.nii"
    assert strip_path("../scan.nii", here) == "../scan.nii"
    assert strip_path("/data/study/raw/scan.h5:/t1", here) == "raw/scan.h5:/t1"
    assert strip_path("/home/someone/scan.nii", here) == "scan.nii"
    options = make_options(mask="/home/someone/mask.nii", spacing=(3, 1, 1), algorithm="direct", output_type="argmax")
    words = list_words(("/home/someone/s.yaml", "/data/study/a.nii", "b.nii", "/data/study/o/c.nii"), options, here)
    assert " ".join(words) == (
        "volconv run s.yaml a.nii b.nii -o o/c.nii --mask mask.nii "
        "--output-type argmax --algorithm direct --spacing 3.0,1.0,1.0"
    )


def change_byte(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def change_plain(path):
    change_byte(path, -5)


def change_inside_gzip(path):
    """Change a voxel as a program would that knows the format: checksums fit again."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-5] ^= 1
    path.write_bytes(gzip.compress(bytes(content), mtime=0))


def change_dataset(path):
    with h5py.File(path, "a") as file:
        file["data"][(0,) * file["data"].ndim] += 1


CHANGES = {
    "out.nii": ("out.nii", {}, change_plain),
    "out.nii.gz": ("out.nii.gz", {}, change_inside_gzip),
    "out.h5": ("out.h5", {}, change_dataset),
    "pair": ("out.img", {"output": "out.hdr"}, change_plain),
    "split": ("out_ch01.nii.gz", {"output": "out.nii.gz", "channels": "split"}, change_inside_gzip),
    "saved": ("saved.nii", {"output": "out.nii", "save": "saved.nii"}, change_plain),
}


@pytest.mark.parametrize(("name", "options", "change"), CHANGES.values(), ids=CHANGES)
def test_a_changed_voxel_is_found(folder, name, options, change):
    options = dict(options)
    output = options.pop("output", name)
    if "save" in options:
        options["save"] = {"a": str(folder / options["save"])}
    run(folder, output, **options)
    found = verify_output(str(folder / name))
    assert found["verified"]
    assert any(check.startswith("SHA-256 in out.json") for check in found["checked_by"])
    change(folder / name)
    with pytest.raises(FormatError, match=r"expected .* by out\.json") as caught:
        verify_output(str(folder / name))
    assert caught.value.file == str(folder / name)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("name", "check", "message"),
    [("out.nii.gz", "CRC-32", "checksum|damaged|CRC"), ("out.h5", "Fletcher-32", r"/data\[")],
)
def test_damage_is_found_without_a_sidecar(folder, name, check, message):
    run(folder, name, sidecar=False)
    (found,) = verify_output(str(folder / name))["checked_by"]
    assert found.startswith(check)
    change_byte(folder / name, (folder / name).stat().st_size * 7 // 8)
    with pytest.raises(FormatError, match=message):
        verify_output(str(folder / name))


def test_what_is_not_checked_is_said(folder):
    run(folder, "out.nii", sidecar=False)
    (check,) = verify_output(str(folder / "out.nii"))["checked_by"]
    assert check.startswith("the length alone")
    with (folder / "out.nii").open("ab") as file:
        file.write(b"more")
    with pytest.raises(FormatError, match="4 stray bytes"):
        verify_output(str(folder / "out.nii"))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{" * 5000,
        '{"format": 1, "GeneratedBy": []}',
        '{"format": 1, "GeneratedBy": [], "record": 3}',
        '{"format": 1, "GeneratedBy": [], "record": {}, "outputs": 3}',
        '{"format": 1, "GeneratedBy": [], "record": {"output": "a"}, "outputs": [3, {"stage": "a", "files": 3}]}',
    ],
)
def test_other_json_beside_an_output_is_none_of_ours(tmp_path, content):
    (tmp_path / "out.json").write_text(content)
    (tmp_path / "folder.json").mkdir()
    assert find_digest(tmp_path / "out.nii", {"output": "a"}) is None


@pytest.mark.parametrize(
    ("changes", "output", "name", "found"),
    [
        ({}, {}, "out.nii", True),
        ({"format": 2}, {}, "out.nii", False),
        ({"record": {"output": "b"}}, {}, "out.nii", True),
        ({"record": {"output": "a", "options": {}}}, {}, "out.nii", False),
        ({}, {"stage": "b"}, "out.nii", False),
        ({}, {"files": [3, {"name": "out.nii"}]}, "out.nii", False),
        ({}, {}, "other.nii", False),
    ],
)
def test_a_sidecar_speaks_of_its_own_run_alone(tmp_path, changes, output, name, found):
    files = [{"name": "out.nii", "size": 1, "sha256": "x"}]
    outputs = [{"stage": "a", "files": files, **output}]
    sidecar = {"format": 1, "GeneratedBy": [], "record": {"output": "a"}, "outputs": outputs, **changes}
    (tmp_path / "out.json").write_text(json.dumps(sidecar))
    expected = (tmp_path / "out.json", 1, "x") if found else None
    assert find_digest(tmp_path / name, {"output": "a"}) == expected


def test_an_old_sidecar_says_nothing_of_a_new_output(folder):
    run(folder, "out.nii")
    run(folder, "out.nii", sidecar=False, force=True, settings={"slope": 3.0})
    (check,) = verify_output(str(folder / "out.nii"))["checked_by"]
    assert check.startswith("the length alone")


def test_an_output_cut_short_or_of_another_run(folder):
    run(folder, "out.h5")
    size = (folder / "out.h5").stat().st_size
    sidecar = json.loads((folder / "out.json").read_text())
    sidecar["outputs"][0]["files"][0]["size"] += 5
    (folder / "out.json").write_text(json.dumps(sidecar))
    with pytest.raises(FormatError, match=rf"found {size} bytes, expected {size + 5} by out.json"):
        verify_output(str(folder / "out.h5"))
