"""`volconv run` on HDF5 files that are damaged, unfinished or lead elsewhere."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from tests.hostile.carriers import SECRET, make_foreign_hdf5, make_output, values


@pytest.fixture
def run_on(refused, tmp_path):
    """Return a function: a run on the file must fail with this code."""
    path = tmp_path / "scan.h5"

    def check(code, content=None, dataset="", words=(), status=3):
        if content is not None:
            path.write_bytes(content)
        return refused(code, "run", "same.yaml", f"{path}{dataset}", "-o", "out.nii", *words, status=status)

    check.path = path
    return check


@pytest.fixture
def good(tmp_path):
    make_output(tmp_path / "good.h5")
    content = (tmp_path / "good.h5").read_bytes()
    (tmp_path / "good.h5").unlink()
    return content


@pytest.mark.parametrize("content", [b"", b"text\n" * 99, b"\x89PNG\r\n\x1a\n" + bytes(900), bytes(4096), b"\x89HDF"])
def test_what_is_no_hdf5(run_on, content):
    run_on("hdf5.signature", content)


def test_files_cut_short_or_zeroed(run_on, good):
    run_on("hdf5.damaged", good[: len(good) // 2])
    run_on("hdf5.damaged", good[:8] + bytes(len(good) - 8))
    run_on("hdf5.damaged", good[:-1])


def test_files_of_killed_writers(run_on):
    program = (
        "import h5py, numpy, os, sys\n"
        "f = h5py.File(sys.argv[1], 'w', libver='latest')\n"
        "f['raw'] = numpy.ones((9, 9, 9)); f.flush(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(run_on.path)], check=False, timeout=60)
    run_on("hdf5.unclosed")


def test_ways_out_of_the_file(run_on, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["raw"] = np.ones((2, 2, 2))
    layout = h5py.VirtualLayout((2, 2, 2), "f8")
    layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "raw", (2, 2, 2))
    with h5py.File(run_on.path, "w") as file:
        file.create_dataset("storage", (2, 2, 2), "u1", external=[("/etc/passwd", 0, 8)])
        file["link"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/raw")
        file["soft"] = h5py.SoftLink("/link")
        file.create_virtual_dataset("virtual", layout)
    for dataset in ("storage", "link", "soft", "virtual"):
        run_on("hdf5.outside", dataset=f":/{dataset}")


def test_filters_that_are_not_there_and_chunks_that_are_broken(run_on):
    with h5py.File(run_on.path, "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((2, 2, 2))
        properties.set_filter(32_015, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple((2, 2, 2))
        h5py.h5d.create(file.id, b"d", h5py.h5t.NATIVE_FLOAT, space, properties)
    assert "32015" in run_on("hdf5.filter")["message"]
    with h5py.File(run_on.path, "w") as file:
        file.create_dataset("raw", data=values(), chunks=(4, 4, 4), compression="gzip", fletcher32=True)
        start = file["raw"].id.get_chunk_info(3).byte_offset
    content = bytearray(run_on.path.read_bytes())
    content[start + 9] ^= 255
    error = run_on("hdf5.damaged", bytes(content))
    assert error["where"].startswith("/raw[")


def test_datasets_that_are_absent_or_many(run_on):
    with h5py.File(run_on.path, "w") as file:
        file["group/a"] = np.ones((2, 2, 2))
        file["b"] = np.ones((2, 2, 2))
        file["ring"] = h5py.SoftLink("/ring2")
        file["ring2"] = h5py.SoftLink("/ring")
    assert "/b (2, 2, 2)" in run_on("hdf5.ambiguous")["message"]
    run_on("hdf5.missing", dataset=":/c")
    run_on("hdf5.missing", dataset=":/group")
    run_on("hdf5.link", dataset=":/ring")


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("text", {}),
        (np.zeros((2, 2, 2), "S4"), {}),
        (np.zeros((2, 2, 2), [("a", "f4"), ("b", "i2")]), {}),
        (np.zeros((2, 2, 2), "c8"), {}),
        (np.float32(3), {}),
        (h5py.Empty("f4"), {}),
        (np.zeros((0, 2, 2)), {}),
        (np.zeros(9), {}),
        (np.zeros((1,) * 6), {}),
        (np.empty((2, 2, 2), object), {"dtype": h5py.ref_dtype}),
        (np.empty((2, 2, 2), object), {"dtype": h5py.vlen_dtype("i4")}),
    ],
    ids=["text", "texts", "compound", "complex", "scalar", "null", "of no size", "1-D", "6-D", "references", "vlen"],
)
def test_what_is_no_volume_of_numbers(run_on, value, options):
    with h5py.File(run_on.path, "w") as file:
        if options:
            file.create_dataset("raw", (2, 2, 2), **options)
        else:
            file["raw"] = value
    assert run_on("hdf5.type", dataset=":/raw")["where"] == "/raw"
    run_on("hdf5.missing")


def test_a_petabyte_of_which_nothing_is_stored(run_on):
    with h5py.File(run_on.path, "w") as file:
        file.create_dataset("raw", (100_000, 100_000, 100_000), "u1", chunks=(64, 64, 64))
    run_on("memory.budget", words=("--memory", "1MiB"), status=4)
    run_on("disk.budget", words=("--memory", "2GB"), status=4)


@pytest.mark.parametrize(
    "affine", [np.full((4, 4), np.nan), np.eye(3), "text", np.zeros((4, 4)), np.ones((4, 4))], ids=str
)
def test_affines_that_are_none(run_on, affine):
    with h5py.File(run_on.path, "w") as file:
        file["raw"] = values()
        file["raw"].attrs["affine"] = affine
    assert "affine" in run_on("hdf5.affine")["where"]


def test_axes_that_are_none(run_on):
    with h5py.File(run_on.path, "w") as file:
        file["raw"] = values()
        file["raw"].attrs["axes"] = "zzz"
    assert run_on("hdf5.axes")["where"] == "/raw: attribute 'axes'"


def test_locks_that_the_file_system_refuses(command, tmp_path, monkeypatch):
    """Files are read without locks, whatever the environment asks for."""
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "TRUE")
    make_foreign_hdf5(tmp_path / "scan.h5")
    assert command("inspect", "scan.h5:/group/raw").exit_code == 0


def test_reports_name_attributes_and_tell_no_values(command, tmp_path):
    make_foreign_hdf5(tmp_path / "scan.h5")
    for words in (("inspect", "scan.h5"), ("inspect", "scan.h5", "--json"), ("inspect", "scan.h5:/group/raw")):
        result = command(*words)
        assert result.exit_code == 0
        assert SECRET[:8] not in result.stdout + result.stderr


def test_a_heap_of_texts_without_end(run_on, tmp_path):
    """libhdf5 would walk over free space of no bytes for ever, and no signal would reach it."""
    make_foreign_hdf5(tmp_path / "good.h5")
    content = bytearray((tmp_path / "good.h5").read_bytes())
    (tmp_path / "good.h5").unlink()
    at = heap = content.index(b"GCOL")
    at += 16
    while content[at : at + 2] != b"\0\0":
        at += 16 + -(-int.from_bytes(content[at + 8 : at + 16], "little") // 8) * 8
    assert at < heap + 4096
    content[at + 8 : at + 16] = bytes(8)
    assert "heap" in run_on("hdf5.damaged", bytes(content))["message"]
