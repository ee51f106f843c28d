"""The list of packages, the sample scan, and what an installed copy holds."""

import gzip
import hashlib
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.resources import files
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OUTSIDE = {"cli": "volconv.cli", "presets": "volconv.presets", "sample_data": "volconv.sample_data"}


def packages_on_disk():
    """Every folder with a Python file or package data, by the name it has once installed."""
    found = set()
    for top in ("volconv", *OUTSIDE):
        for folder in (ROOT / top, *(path for path in (ROOT / top).rglob("*") if path.is_dir())):
            if folder.name == "__pycache__" or not any(path.suffix in (".py", ".yaml") for path in folder.iterdir()):
                continue
            parts = folder.relative_to(ROOT).parts
            found.add(".".join((OUTSIDE.get(parts[0], parts[0]), *parts[1:])))
    return found


def test_packages_are_the_folders():
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(packages_on_disk())


def test_every_dependency_has_its_reason():
    reasons = (ROOT / "CONTRIBUTING.md").read_text()
    for dependency in PROJECT["project"]["dependencies"]:
        assert f"| {dependency.partition('>')[0]} |" in reasons


def test_public_names_stay_functions_when_sub_packages_load():
    import volconv
    import volconv.plan.model
    import volconv.run.events

    assert callable(volconv.run)
    assert callable(volconv.plan)
    assert {"Conv3d", "load", "run", "plan", "load_weights"} <= set(dir(volconv))
    with pytest.raises(AttributeError, match="no attribute 'rnu'"):
        volconv.rnu  # noqa: B018


@pytest.mark.parametrize("name", ["Conv2d", "Conv3d", "ConvTranspose3d", "VolconvError", "load", "load_weights"])
def test_public_names_are_there(name):
    import volconv

    assert getattr(volconv, name).__name__


@pytest.fixture
def image():
    """The sample scan, as an installed package finds it."""
    return nib.Nifti1Image.from_bytes(gzip.decompress((files("volconv.sample_data") / "t1_2mm.nii.gz").read_bytes()))


class TestSample:
    def test_scan(self, image):
        assert image.shape == (99, 117, 95)
        assert image.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(image.affine[:3], [[2, 0, 0, -97.5], [0, 2, 0, -133.5], [0, 0, 2, -71.5]])
        assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (4, 4)
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")

    def test_the_head_is_where_it_was(self, image):
        """The template's own centre of mass, in mm, is (0, -21.3456, 10.6028)."""
        weights = np.asarray(image.dataobj, dtype=float)
        centre = [np.average(index, weights=weights) for index in np.indices(image.shape)]
        np.testing.assert_allclose(nib.affines.apply_affine(image.affine, centre), [0, -21.3456, 10.6028], atol=1e-3)

    def test_small_enough_and_licensed(self):
        folder = ROOT / "sample_data"
        assert sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) < 1_500_000
        assert "Montreal Neurological Institute" in (folder / "LICENSE.mni").read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy without build folders, which would put deleted modules back."""
    folder = tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__", ".*", "tests", "volconv-demo")
    shutil.copytree(ROOT, folder / "source", ignore=left_out)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(folder / "source")],
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("volconv-*.whl")
    return path


@pytest.mark.slow
class TestWheel:
    def test_holds_the_checkout_and_nothing_else(self, wheel):
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if ".dist-info/" not in name]
        expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "volconv").rglob("*.py")} | {
            "volconv/py.typed"
        }
        for top, package in OUTSIDE.items():
            for path in (ROOT / top).rglob("*"):
                if path.is_file() and path.suffix != ".pyc":
                    expected.add((Path(package.replace(".", "/")) / path.relative_to(ROOT / top)).as_posix())
        assert sorted(names) == sorted(expected)

    def test_works_from_any_folder(self, wheel, tmp_path):
        """Unpacked, as pip would leave it, with the libraries of this environment."""
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path / "site")
        code = (
            "import sys; sys.path.insert(0, sys.argv.pop(1)); from volconv.cli.main import main\n"
            "import volconv; assert volconv.__file__.startswith(sys.path[0]); main()"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, str(tmp_path / "site"), "presets", "show", "gaussian"],
            capture_output=True,
            check=True,
            cwd=tmp_path,
        )
        text = (ROOT / "presets" / "gaussian.yaml").read_bytes()
        assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(text).digest()
