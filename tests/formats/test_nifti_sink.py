"""NIfTI sinks, held against nibabel."""

import gzip
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.errors import OutputError, UsageError
from volconv.formats.names import parse_volume_name
from volconv.formats.nifti_sink import open_nifti_sink
from volconv.formats.nifti_source import NiftiSource
from volconv.formats.record import read_record
from volconv.geometry import VoxelMap
from volconv.region import Region
from volconv.testing.sink_contract import SinkContract
from volconv.volume import OutputInfo


def open_sink(path, info, *, force=False, channels="4d", threads=1):
    scratch = path.parent / "scratch"
    return open_nifti_sink(
        parse_volume_name(path), info, scratch=scratch, force=force, channels=channels, threads=threads
    )


def from_file_order(array, info):
    """An (x, y, z[, c]) array as (C, D, H, W)."""
    array = array.reshape(*array.shape[:3], -1)
    return array.transpose((3, 2, 1, 0) if info.origin.axes == "kji" else (3, 0, 1, 2))


class NiftiSinkContract(SinkContract):
    suffix = ".nii"
    threads = 1

    def make_sink(self, folder, info, force=False):
        return open_sink(folder / f"out{self.suffix}", info, force=force, threads=self.threads)

    def outputs(self, folder):
        return [folder / f"out{self.suffix}"]

    def read_back(self, folder, sink):
        image = nib.load(folder / f"out{self.suffix}")
        assert image.get_data_dtype() == sink.info.dtype
        return from_file_order(np.asanyarray(image.dataobj), sink.info)


class TestNii(NiftiSinkContract):
    pass


class TestNiiGz(NiftiSinkContract):
    suffix = ".nii.gz"


class TestNiiGzThreads(NiftiSinkContract):
    suffix = ".nii.gz"
    threads = 3


class TestPair(NiftiSinkContract):
    suffix = ".hdr"

    def outputs(self, folder):
        return [folder / "out.hdr", folder / "out.img"]


class TestSplit(NiftiSinkContract):
    suffix = ".nii.gz"

    def make_sink(self, folder, info, force=False):
        return open_sink(folder / "out.nii.gz", info, force=force, channels="split")

    def outputs(self, folder):
        return sorted(folder.glob("out*.nii.gz")) or [folder / "out.nii.gz"]

    def read_back(self, folder, sink):  # noqa: ARG002
        parts = [np.asanyarray(nib.load(path).dataobj) for path in sink.paths]
        return np.concatenate([from_file_order(part, sink.info) for part in parts])


def make_info(**fields):
    return replace(SinkContract.info(), **fields)


def write(path, info, values, **options):
    sink = open_sink(path, info, **options)
    sink.create()
    for batch, volume in enumerate(values):
        sink.write(Region.whole(info.shape), volume, batch)
    sink.finish()
    return sink


def volumes(info):
    shape = (info.batch, info.channels, *info.shape)
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@st.composite
def windows(draw):
    """A shape, its axes' order, channels, and boxes that cover it in any order."""
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    steps = draw(st.tuples(*[st.integers(1, n) for n in shape]))
    boxes = draw(st.permutations(list(Region.whole(shape).split(steps))))
    return shape, draw(st.sampled_from(["kji", "ijk"])), draw(st.integers(1, 3)), boxes


@settings(max_examples=60, deadline=None)
@given(windows())
def test_gzipped_bytes_do_not_depend_on_the_windows(tmp_path_factory, case):
    shape, order, channels, boxes = case
    folder = tmp_path_factory.mktemp("windows")
    info = make_info(shape=shape, channels=channels)
    info = replace(info, origin=replace(info.origin, axes=order, shape=shape))
    (values,) = volumes(info)
    write(folder / "whole.nii.gz", info, [values])
    sink = open_sink(folder / "cut.nii.gz", info, threads=2)
    sink.create()
    for box in boxes:
        sink.write(box, values[:, *box.slices()])
    sink.finish()
    assert (folder / "cut.nii.gz").read_bytes() == (folder / "whole.nii.gz").read_bytes()
    np.testing.assert_array_equal(from_file_order(np.asanyarray(nib.load(folder / "cut.nii.gz").dataobj), info), values)


def test_what_comes_in_file_order_is_compressed_at_once(tmp_path):
    info = make_info(shape=(40, 200, 200), channels=1)
    info = replace(info, origin=replace(info.origin, shape=info.shape))
    values = np.random.default_rng(1).standard_normal((1, *info.shape), dtype=np.float32)
    sink = open_sink(tmp_path / "out.nii.gz", info)
    sink.create()
    for box in Region.whole(info.shape).split((10, 200, 200)):
        sink.write(box, values[:, *box.slices()])
    (part,) = tmp_path.glob(".out.nii.gz.*")
    assert part.stat().st_size > 3_000_000
    sink.abort()
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".img"])
@pytest.mark.parametrize(
    ("channels", "batch", "layout", "order"),
    [
        (3, 1, "4d", "kji"),
        (1, 3, "4d", "kji"),
        (3, 1, "vector", "kji"),
        (2, 3, "4d", "kji"),
        (2, 3, "vector", "ijk"),
    ],
)
def test_channels_and_batches_reach_their_axes(tmp_path, suffix, channels, batch, layout, order):
    info = make_info(channels=channels, batch=batch)
    info = replace(info, origin=replace(info.origin, axes=order))
    values = volumes(info)
    path = tmp_path / f"out{suffix}"
    write(path, info, values, channels=layout)
    image = nib.load(tmp_path / ("out.hdr" if suffix == ".img" else f"out{suffix}"))
    array = np.asanyarray(image.dataobj)
    x, y, z = info.shape if order == "ijk" else info.shape[::-1]
    assert array.shape[:3] == (x, y, z)
    rest = array.reshape(x, y, z, channels if batch == 1 else batch, -1)
    for c in range(channels):
        for t in range(batch):
            volume = array.reshape((x, y, z, batch, channels), order="F")[..., t, c]
            np.testing.assert_array_equal(volume if order == "ijk" else volume.T, values[t, c])
    assert rest.size == values.size
    source = NiftiSource(path, order=order, channels=channels)
    assert (source.info.channels, source.info.batch) == (channels, batch)
    source.load(None)
    out = np.zeros((channels, *info.shape), np.float32)
    for t in range(batch):
        source.read(Region.whole(info.shape), out, t)
        np.testing.assert_array_equal(out, values[t])


@pytest.mark.parametrize("channels", [2, 3, 101])
def test_split_makes_a_file_a_channel(tmp_path, channels):
    info = replace(SinkContract.info(shape=(2, 3, 4)), channels=channels)
    values = volumes(info)
    sink = write(tmp_path / "out.nii.gz", info, values, channels="split")
    assert sink.path == tmp_path / "out.nii.gz"
    assert len(sink.paths) == channels
    assert sink.paths[-1].name == ("out_ch100.nii.gz" if channels == 101 else f"out_ch0{channels - 1}.nii.gz")
    assert sorted(p for p in tmp_path.iterdir() if p.is_file()) == sorted(sink.paths)
    for c, path in enumerate(sink.paths):
        image = nib.load(path)
        assert image.shape == (4, 3, 2)
        np.testing.assert_array_equal(np.asanyarray(image.dataobj).T, values[0, c])
        assert read_record(path) == {"volconv": 1}


def test_split_keeps_the_case_of_the_suffix_and_counts_clips(tmp_path):
    info = replace(SinkContract.info(shape=(2, 3, 4)), channels=2, dtype=np.dtype("uint8"))
    sink = write(tmp_path / "OUT.NII", info, volumes(info) + 250, channels="split")
    assert [p.name for p in sink.paths] == ["OUT_ch00.NII", "OUT_ch01.NII"]
    assert sink.clipped == 48 - 6


def test_split_refuses_if_any_name_is_taken(tmp_path):
    info = make_info(channels=3)
    taken = tmp_path / "out_ch01.nii"
    taken.write_bytes(b"mine")
    sink = open_sink(tmp_path / "out.nii", info, channels="split")
    with pytest.raises(OutputError, match="out_ch01"):
        sink.create()
    assert [p.name for p in tmp_path.iterdir()] == ["out_ch01.nii"]
    write(tmp_path / "out.nii", info, volumes(info), channels="split", force=True)
    assert nib.load(taken).shape == (13, 11, 7)


@pytest.mark.parametrize("name", ["out.hdr.gz", "out.img.gz"])
def test_gzipped_pairs_are_not_written(tmp_path, name):
    with pytest.raises(UsageError, match="uncompressed"):
        open_sink(tmp_path / name, make_info())


def test_types_nifti_does_not_have(tmp_path):
    with pytest.raises(UsageError, match="float16"):
        open_sink(tmp_path / "out.nii", make_info(dtype=np.dtype("float16")))


def test_gzip_is_the_same_for_any_number_of_threads(tmp_path):
    info = SinkContract.info(shape=(40, 70, 80))
    values = np.random.default_rng(0).normal(size=(1, 1, *info.shape)).astype(np.float32)
    contents = []
    for threads in (1, 2, 7):
        write(tmp_path / "out.nii.gz", info, values, threads=threads, force=True)
        contents.append((tmp_path / "out.nii.gz").read_bytes())
    assert contents[0] == contents[1] == contents[2]
    np.testing.assert_array_equal(nib.load(tmp_path / "out.nii.gz").get_fdata().T, values[0, 0])
    assert gzip.decompress(contents[0])[:4] == (348).to_bytes(4, "little")
    assert not (tmp_path / "scratch").exists()


def test_space_is_named_before_it_is_taken(tmp_path):
    info = make_info(channels=2)
    assert open_sink(tmp_path / "out.nii", info).scratch_bytes == 0
    assert open_sink(tmp_path / "out.hdr", info).scratch_bytes == 0
    assert open_sink(tmp_path / "out.nii.gz", info).scratch_bytes == info.nbytes
    assert open_sink(tmp_path / "out.nii.gz", info, channels="split").scratch_bytes == info.nbytes
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("force", [False, True])
def test_a_pair_never_shows_a_header_without_its_voxels(tmp_path, monkeypatch, force):
    info = make_info()
    if force:
        write(tmp_path / "out.hdr", info, volumes(info) + 1)
    sink = open_sink(tmp_path / "out.hdr", info, force=force)
    sink.create()
    sink.write(Region.whole(info.shape), volumes(info)[0])
    sink.complete()
    voxels, header = sink._body.parts
    published = voxels.publish

    def publish():
        assert not header.target.exists(), "an old header beside new voxels is a false pair"
        published()
        assert not header.target.exists()

    monkeypatch.setattr(voxels, "publish", publish)
    sink.publish()
    np.testing.assert_array_equal(nib.load(tmp_path / "out.hdr").get_fdata().T, volumes(info)[0, 0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.hdr", "out.img"]


def test_a_foreign_header_that_appears_does_not_get_our_voxels(tmp_path):
    info = make_info()
    sink = open_sink(tmp_path / "out.hdr", info)
    sink.create()
    sink.write(Region.whole(info.shape), volumes(info)[0])
    (tmp_path / "out.hdr").write_bytes(b"theirs")
    with pytest.raises(OutputError):
        sink.finish()
    sink.abort()
    assert [p.name for p in tmp_path.iterdir()] == ["out.hdr"]


def test_writing_outside_and_in_the_wrong_shape(tmp_path):
    sink = open_sink(tmp_path / "out.nii", make_info())
    with pytest.raises(RuntimeError, match="create"):
        sink.write(Region.whole((7, 11, 13)), np.zeros((1, 7, 11, 13)))
    sink.create()
    with pytest.raises(ValueError, match="shape"):
        sink.write(Region.whole((7, 11, 13)), np.zeros((2, 7, 11, 13)))
    with pytest.raises(ValueError, match="outside"):
        sink.write(Region((1, 0, 0), (8, 11, 13)), np.zeros((1, 7, 11, 13)))
    with pytest.raises(ValueError, match="outside"):
        sink.write(Region.whole((7, 11, 13)), np.zeros((1, 7, 11, 13)), 1)
    sink.abort()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_windows_make_the_same_file(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("sink")
    shape = tuple(data.draw(st.integers(1, 9)) for _ in range(3))
    order = data.draw(st.sampled_from(["kji", "ijk"]))
    dtype = data.draw(st.sampled_from(["uint8", "int16", "float32", "float64"]))
    info = SinkContract.info(shape, data.draw(st.integers(1, 2)), dtype, order)
    window = tuple(data.draw(st.integers(1, n)) for n in shape)
    values = volumes(info)[0]
    sink = open_sink(folder / "out.nii", info)
    sink.create()
    for region in data.draw(st.permutations(list(Region.whole(shape).split(window))[:40] or [Region.whole(shape)])):
        sink.write(region, values[:, *region.slices()])
    for region in list(Region.whole(shape).split(window))[40:]:
        sink.write(region, values[:, *region.slices()])
    sink.finish()
    array = np.asanyarray(nib.load(folder / "out.nii").dataobj)
    stored = np.clip(values, 0, 255) if dtype == "uint8" else values
    np.testing.assert_array_equal(from_file_order(array, info), stored)


def test_real_scans_keep_header_and_voxels(test_scans, tmp_path):
    fields = "srow_x srow_y srow_z qform_code sform_code quatern_b quatern_c quatern_d qoffset_x qoffset_y qoffset_z"
    for path in test_scans:
        if path.name == "complex.nii.gz" or path.stat().st_size > 1_500_000:
            continue
        source = NiftiSource(path)
        source.load(None)
        scaled = source.info.is_scaled
        dtype = np.dtype("float64") if scaled else source.info.dtype
        info = OutputInfo(source.info.shape, 1, dtype, source.info, batch=source.info.batch)
        sink = open_sink(tmp_path / "out.nii", info, force=True)
        sink.create()
        for batch in range(info.batch):
            for region in Region.whole(info.shape).split((30, 50, 60)):
                out = np.zeros((1, *region.shape), dtype)
                source.read(region, out, batch)
                sink.write(region, out, batch)
        sink.finish()
        before, after = nib.load(path), nib.load(tmp_path / "out.nii")
        assert type(before) is type(after)
        np.testing.assert_array_equal(after.affine, before.affine)
        np.testing.assert_array_equal(np.asanyarray(after.dataobj), np.asanyarray(before.dataobj))
        for field in [*fields.split(), "descrip", "xyzt_units"]:
            assert after.header[field].tobytes() == before.header[field].astype(after.header[field].dtype).tobytes()
        source.close()


def test_both_forms_of_a_sheared_scan_move_alike(test_volumes, tmp_path):
    source = NiftiSource(test_volumes / "edge" / "shear.nii.gz")
    voxel_map = VoxelMap((2.0, 2.0, 2.0), (0.5, 0.5, 0.5))
    info = OutputInfo((4, 5, 6), 1, np.dtype("uint8"), source.info, voxel_map)
    write(tmp_path / "out.nii", info, volumes(info))
    before, after = nib.load(source.path), nib.load(tmp_path / "out.nii")
    matrix = np.diag([2.0, 2, 2, 1])
    matrix[:3, 3] = 0.5
    for form in ("get_sform", "get_qform"):
        (old, old_code), (new, new_code) = (getattr(image, form)(coded=True) for image in (before, after))
        np.testing.assert_allclose(new, old @ matrix, rtol=1e-6, atol=1e-4)
        assert new_code == old_code > 0
