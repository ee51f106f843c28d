"""Files that would lead elsewhere, unfinished files, and files that are no HDF5 at all."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest

from volconv.errors import FormatError, MissingFileError
from volconv.formats.hdf5_guard import is_hdf5, look_into, resolve
from volconv.formats.hdf5_source import Hdf5Source
from volconv.formats.input_file import InputFile
from volconv.region import Region


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = np.full((2, 2, 2), 42.0)
    return path


def opened_files(program: str, watched: Path) -> bool:
    """Return whether running `program` opens `watched`, by its access seen through an audit of system calls."""
    done = subprocess.run(
        ["strace", "-f", "-e", "trace=open,openat", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
    )
    return f'"{watched}"' in done.stderr


def test_external_storage_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", (2, 2, 2), "u1", external=[("/etc/passwd", 0, 8)])
    with pytest.raises(FormatError, match="/d: its values lie in another file"):
        Hdf5Source(tmp_path / "a.h5", "/d")
    with pytest.raises(FormatError, match="another file"):
        Hdf5Source(tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["/link", "/soft", "/group/up", "/link/raw", "/soft/raw"])
def test_external_links_are_refused(tmp_path: Path, secret: Path, name: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink(str(secret), "/raw")
        file["soft"] = h5py.SoftLink("/link")
        file.create_group("group")["up"] = h5py.SoftLink("/soft")
    with pytest.raises(FormatError, match="link into another file"):
        Hdf5Source(tmp_path / "a.h5", name)
    with pytest.raises(FormatError, match="holds no dataset"):
        Hdf5Source(tmp_path / "a.h5")


@pytest.mark.parametrize("unlimited", [False, True])
@pytest.mark.parametrize("target", ["secret.h5", "missing.h5"])
def test_virtual_datasets_out_of_other_files_are_refused(
    tmp_path: Path, secret: Path, unlimited: bool, target: str
) -> None:
    longest = (None, 2, 2) if unlimited else None
    layout = h5py.VirtualLayout((2, 2, 2), "f8", maxshape=longest)
    source = h5py.VirtualSource(str(secret.parent / target), "raw", shape=(2, 2, 2), maxshape=longest)
    end = h5py.h5s.UNLIMITED if unlimited else 2
    layout[0:end, :, :] = source[0:end, :, :]
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("v", layout)
    for name in ("/v", None):
        with pytest.raises(FormatError, match=r"another file|virtual, out of other files"):
            Hdf5Source(tmp_path / "a.h5", name)


def test_nothing_outside_is_even_opened(tmp_path: Path, secret: Path) -> None:
    if not Path("/usr/bin/strace").exists():
        pytest.skip("strace is not installed")
    layout = h5py.VirtualLayout((2, 2, 2), "f8", maxshape=(None, 2, 2))
    source = h5py.VirtualSource(str(secret), "raw", shape=(2, 2, 2), maxshape=(None, 2, 2))
    layout[0 : h5py.h5s.UNLIMITED, :, :] = source[0 : h5py.h5s.UNLIMITED, :, :]
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("v", layout)
        file["link"] = h5py.ExternalLink(str(secret), "/raw")
        file["soft"] = h5py.SoftLink("/link")
    program = f"""
from contextlib import closing
from pathlib import Path
from volconv.errors import FormatError
from volconv.formats.hdf5_source import Hdf5Source
from volconv.formats.input_file import InputFile
from volconv.formats.hdf5_listing import list_hdf5
path = Path({str(tmp_path / "a.h5")!r})
list_hdf5(path)
for name in (None, "/v", "/link", "/soft"):
    try:
        Hdf5Source(path, name)
    except FormatError:
        continue
    raise SystemExit("was read")
"""
    assert opened_files(f"open({str(secret)!r}).close()", secret)
    assert not opened_files(program, secret)


def test_virtual_datasets_within_the_file_are_read(tmp_path: Path) -> None:
    values = np.arange(4 * 9 * 10, dtype="i4").reshape(4, 9, 10)
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        layout = h5py.VirtualLayout((4, 9, 10), "i4")
        for index in range(4):
            file.create_dataset(f"part{index}", data=values[index], chunks=(3, 5), compression="gzip")
            layout[index] = h5py.VirtualSource(".", f"part{index}", shape=(9, 10))
        file.create_virtual_dataset("v", layout)
    source = Hdf5Source(tmp_path / "a.h5")
    out = np.zeros((1, 4, 9, 10), "i4")
    source.read(Region.whole((4, 9, 10)), out)
    np.testing.assert_array_equal(out[0], values)


def test_virtual_sources_that_are_missing_or_lead_out_are_refused(tmp_path: Path, secret: Path) -> None:
    for number, name in enumerate(("nothing", "link", "v")):
        with h5py.File(tmp_path / f"{number}.h5", "w", libver="latest") as file:
            layout = h5py.VirtualLayout((2, 2, 2), "f8")
            layout[:] = h5py.VirtualSource(".", name, shape=(2, 2, 2))
            file["link"] = h5py.ExternalLink(str(secret), "/raw")
            file.create_virtual_dataset("v", layout)
        with pytest.raises(FormatError, match=r"there is no|another file|without end"):
            Hdf5Source(tmp_path / f"{number}.h5", "/v")


def test_soft_links_and_cycles(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/raw"] = np.ones((2, 3, 4))
        file["here"] = h5py.SoftLink("g/./raw")
        file["g/there"] = h5py.SoftLink("/here")
        file["g/root"] = h5py.SoftLink("/")
        file["one"] = h5py.SoftLink("/two")
        file["two"] = h5py.SoftLink("one")
        file["g/me"] = file["g"]
    for name in ("/here", "/g/there", "/g/root/g/raw", "/g/me/me/me/raw"):
        assert Hdf5Source(tmp_path / "a.h5", name).info.shape == (2, 3, 4)
    assert Hdf5Source(tmp_path / "a.h5").info.meta["hdf5"]["dataset"] == "/g/raw"
    with pytest.raises(FormatError, match="circles"):
        Hdf5Source(tmp_path / "a.h5", "/one")


def test_thousands_of_nested_groups(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        group = file
        for _ in range(1500):
            group = group.create_group("g")
        group["raw"] = np.ones((2, 3, 4))
    source = Hdf5Source(tmp_path / "a.h5")
    assert source.info.shape == (2, 3, 4)
    source.close()
    with closing(InputFile(tmp_path / "a.h5")) as opened, look_into(opened) as file:
        assert resolve(file, "/g" * 1500 + "/raw", "a.h5").shape == (2, 3, 4)


def test_unknown_filters_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((2, 2, 2))
        properties.set_filter(32_015, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple((2, 2, 2))
        h5py.h5d.create(file.id, b"d", h5py.h5t.NATIVE_FLOAT, space, properties)
    with pytest.raises(FormatError, match="filter 32015"):
        Hdf5Source(tmp_path / "a.h5")


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is text\n" * 50, b"\x89PNG\r\n\x1a\n" + bytes(900), bytes(4096), b"\x89HDF"]
)
def test_what_is_no_hdf5(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(FormatError, match=r"not an HDF5 file|is empty") as caught:
        Hdf5Source(tmp_path / "a.h5")
    assert "\n" not in str(caught.value)
    assert not is_hdf5(tmp_path / "a.h5")
    assert not is_hdf5(tmp_path / "none")


def test_truncated_files_say_so_in_one_line(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = np.ones((20, 20, 20))
    content = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError, match="HDF5 cannot read this: truncated file") as caught:
        Hdf5Source(tmp_path / "a.h5")
    assert "\n" not in str(caught.value)


def test_files_of_killed_writers_are_refused(tmp_path: Path) -> None:
    program = (
        "import h5py, numpy, os, sys\n"
        "f = h5py.File(sys.argv[1], 'w', libver='latest')\n"
        "f['raw'] = numpy.ones((9, 9, 9)); f.flush(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.h5")], check=False, timeout=60)
    with pytest.raises(FormatError, match="not closed properly"):
        Hdf5Source(tmp_path / "a.h5")


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        Hdf5Source(tmp_path / "none.h5")
    with pytest.raises(MissingFileError):
        Hdf5Source(Path("nul\0.h5"))
    name = os.fsencode(tmp_path) + b"/caf\xe9.h5"
    with h5py.File(name, "w") as file:
        file["raw"] = np.ones((2, 2, 2))
    assert Hdf5Source(Path(os.fsdecode(name))).info.shape == (2, 2, 2)
