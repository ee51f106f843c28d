"""Runs that are cut off and resumed: the same bytes, nothing computed twice, refused where the result would differ."""

import json
import os
import shutil
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest

import volconv
from volconv.errors import BudgetError, OutputError, ResumeError
from volconv.formats.run_folder import RunFolder
from volconv.plan.cost import BASELINE_BYTES
from volconv.run.events import Started, TileDone

MIB = 2**20
SHAPE = (20, 16, 14)  # x, y, z


class CutOffError(Exception):
    """What ends a run in the middle of its tiles."""


def conv(name, channels, seed, **more):
    return {"op": "Conv3d", "name": name, "kernel_size": 3, "padding": 1, "out_channels": channels,
            "weight": {"init": "default", "seed": seed}, **more}  # fmt: skip


PLAIN = {"stages": [conv("a", 16, 0), {"op": "LeakyReLU", "name": "ra"}, conv("b", 2, 3)]}
SEVERAL = {**PLAIN, "outputs": ["b", "a"]}
NORM = {"stages": [
    conv("a", 16, 0), {"op": "InstanceNorm3d", "name": "na"}, {"op": "LeakyReLU", "name": "ra"},
    conv("b", 16, 1, stride=2), {"op": "GroupNorm", "num_groups": 4, "affine": False, "name": "nb"},
    {"op": "ConvTranspose3d", "name": "up", "kernel_size": 2, "stride": 2, "out_channels": 16,
     "weight": {"init": "default", "seed": 2}},
    {"op": "Add", "name": "skip", "inputs": ["up", "ra"]}, {"op": "InstanceNorm3d", "name": "nc"}, conv("out", 1, 3),
]}  # fmt: skip
POOL = {"stages": [
    conv("a", 16, 0), {"op": "AdaptiveMaxPool3d", "name": "most", "output_size": 1},
    {"op": "AdaptiveAvgPool3d", "name": "mean", "output_size": 1, "inputs": ["a"]},
    {"op": "Mul", "name": "scaled", "inputs": ["a", "most"]}, {"op": "Add", "name": "y", "inputs": ["scaled", "mean"]},
]}  # fmt: skip
LABELS = {"stages": [
    conv("scores", 2, 3), {"op": "ArgMax", "name": "seg"}, {"op": "LargestComponent", "name": "largest"}
]}  # fmt: skip
RETURNED = {
    "stages": [conv("a", 2, 3)],
    "input": {"spacing": [1.5, 1.5, 1.5], "intensity": [{"zscore": {}}]},
    "output": {"space": "input"},
}
CASES = {
    "nii": (PLAIN, "out.nii", {}),
    "gzip": (PLAIN, "out.nii.gz", {}),
    "pair": (PLAIN, "out.hdr", {}),
    "hdf5": (PLAIN, "out.h5", {}),
    "split": (PLAIN, "out.nii.gz", {"channels": "split"}),
    "save": (PLAIN, "out.nii", {"save": {"a": "a.h5"}}),
    "several": (SEVERAL, "out.nii.gz", {}),
    "datasets": (SEVERAL, "out.h5", {}),
    "norm": (NORM, "out.nii", {"save": {"nb": "nb.nii"}}),
    "pool": (POOL, "out.nii.gz", {}),
    "labels": (LABELS, "out.nii.gz", {"save": {"seg": "seg.nii", "scores": "scores.nii"}}),
    "returned": (RETURNED, "out.nii.gz", {}),
    "integers": (PLAIN, "out.nii", {"dtype": "int8"}),
    "batch": (PLAIN, "out.nii", {}),
    "norm of a batch": (NORM, "out.nii", {}),
}
TILE = (6, 9, 11)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A scan, and one of three volumes."""
    folder, random = tmp_path_factory.mktemp("scans"), np.random.default_rng(0)
    for name, shape in {"one": SHAPE, "three": (*SHAPE, 3)}.items():
        nib.save(nib.Nifti1Image(random.standard_normal(shape).astype("f4"), np.eye(4)), folder / f"{name}.nii.gz")
    return folder


def run(folder, case, scans, stop_after=None, resume=True, **more):
    """Run a case into `folder`; stopped once that many tiles are finished."""
    spec, output, options = CASES[case]
    folder.mkdir(exist_ok=True)
    save = {stage: str(folder / name) for stage, name in options.get("save", {}).items()}
    done = []

    def listen(event):
        done.extend([event] if isinstance(event, TileDone) else [])
        if stop_after is not None and len(done) >= stop_after:
            raise CutOffError

    options = {"tile": TILE, "threads": 2, **options, "save": save, "resume": resume, **more}
    scan = scans / ("three.nii.gz" if "batch" in case else "one.nii.gz")
    document = {"volconv": 1, "name": "net", **spec}
    return volconv.run(document, scan, folder / output, on_event=listen, **options)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def job_of(folder):
    (found,) = folder.glob("*.volconv")
    return found


def lines(folder):
    return len((job_of(folder) / "journal").read_text().splitlines())


def cut_off(folder, case, scans, tiles, **more):
    """Begin a job that ends after about `tiles` tiles; return how many are finished."""
    with pytest.raises(CutOffError):
        run(folder, case, scans, stop_after=tiles, **more)
    assert list(folder.iterdir()) == [job_of(folder)]
    return lines(folder)


@pytest.fixture(scope="module")
def expected(scans, tmp_path_factory):
    """The outputs of runs that nothing cuts off, by case."""
    found = {}

    def of(case):
        if case not in found:
            folder = tmp_path_factory.mktemp("whole") / "out"
            found[case] = run(folder, case, scans, resume=False)["tiles"], contents(folder)
        return found[case]

    return of


SLOW = pytest.mark.slow
FEW = [pytest.param(case, marks=() if case in ("hdf5", "labels") else SLOW) for case in CASES]


@pytest.mark.parametrize("case", FEW)
def test_a_job_that_is_not_cut_off(tmp_path, scans, expected, case):
    tiles, files = expected(case)
    summary = run(tmp_path / "out", case, scans)
    assert contents(tmp_path / "out") == files
    assert (summary["tiles"], summary["tiles_resumed"], summary["tiles_computed"]) == (tiles, 0, tiles)
    assert not list((tmp_path / "out").glob("*.volconv"))
    assert not summary["warnings"]


HALVED = [pytest.param(case, marks=SLOW if case in ("norm of a batch", "pool") else ()) for case in CASES]


@pytest.mark.parametrize("share", [pytest.param(0.0, marks=SLOW), 0.5, pytest.param(1.0, marks=SLOW)])
@pytest.mark.parametrize("case", HALVED)
def test_a_job_that_is(tmp_path, scans, expected, case, share):
    folder, (tiles, files) = tmp_path / "out", expected(case)
    done = cut_off(folder, case, scans, max(1, round(share * tiles)))
    events = []
    spec, output, options = CASES[case]
    save = {stage: str(folder / name) for stage, name in options.get("save", {}).items()}
    scan = scans / ("three.nii.gz" if "batch" in case else "one.nii.gz")
    summary = volconv.run(
        {"volconv": 1, "name": "net", **spec}, scan, folder / output, on_event=events.append, resume=True,
        **{**options, "save": save},
    )  # fmt: skip
    assert contents(folder) == files
    assert [path for path in folder.iterdir() if path.is_dir()] == []
    assert (summary["tiles_resumed"], summary["tiles_computed"]) == (done, tiles - done)
    (started,) = (event for event in events if isinstance(event, Started))
    announced = [event.index for event in events if isinstance(event, TileDone)]
    assert started.tiles == len(announced)
    assert sorted(announced) == list(range(tiles))


@pytest.mark.slow
@pytest.mark.parametrize("case", ["hdf5", "norm", "pool"])
def test_a_job_that_is_cut_off_again_and_again(tmp_path, scans, expected, case):
    folder, (tiles, files) = tmp_path / "out", expected(case)
    before = 0
    for more in ({"threads": 1}, {"tile": "whole"}, {"memory": BASELINE_BYTES + 40 * MIB}):
        done = cut_off(folder, case, scans, before + tiles // 4, **more)
        assert done > before
        before = done
    assert run(folder, case, scans, tile=(1, 2, 3))["tiles_resumed"] == before
    assert contents(folder) == files


@pytest.mark.slow
def test_wires_that_lie_in_the_scratch_file(tmp_path):
    """They are brought back there, whatever held them before."""
    values = np.random.default_rng(0).standard_normal((30, 34, 38)).astype("f4")
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "one.nii.gz")
    folder, small = tmp_path / "out", BASELINE_BYTES + 10 * MIB
    files = (run(tmp_path / "whole", "norm", tmp_path, resume=False), contents(tmp_path / "whole"))[1]
    done = cut_off(folder, "norm", tmp_path, 70, tile=(8, 8, 8))
    spec = {"volconv": 1, "name": "net", **NORM}
    save = {"nb": str(folder / "nb.nii")}
    plan = volconv.plan(spec, tmp_path / "one.nii.gz", folder / "out.nii", memory=small, resume=True, save=save)
    assert any(store.offset is not None for store in plan.stores)
    assert run(folder, "norm", tmp_path, memory=small)["tiles_resumed"] == done
    assert contents(folder) == files


DAMAGE = {
    "result": ("hdf5", "tiles-0-0-0", 1),
    "wire": ("norm", "tiles-0-0-0", 1),
    "sums": ("norm", "tiles-0-0-1", 1),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_tile_is_computed_again(tmp_path, scans, expected, kind):
    case, name, damaged = DAMAGE[kind]
    folder, (tiles, files) = tmp_path / "out", expected(case)
    count = tiles // 2 if case == "hdf5" else 14  # within the second phase, which reads what the first has kept
    done = cut_off(folder, case, scans, count)
    with (job_of(folder) / name).open("r+b") as file:
        file.seek(40)
        byte = file.read(1)
        file.seek(40)
        file.write(bytes([byte[0] ^ 1]))
    summary = run(folder, case, scans)
    assert (summary["tiles_resumed"], summary["tiles_computed"]) == (done - damaged, tiles - done + damaged)
    assert summary["warnings"] == ["1 finished tile(s) of the run that was cut off were damaged, and computed again"]
    assert contents(folder) == files


@pytest.mark.slow
@pytest.mark.parametrize("case", ["gzip", "norm", "norm of a batch"])
def test_files_that_are_gone_are_made_again(tmp_path, scans, expected, case):
    folder, (tiles, files) = tmp_path / "out", expected(case)
    cut_off(folder, case, scans, tiles * 3 // 4)
    for path in list(job_of(folder).glob("tiles-*"))[::2]:
        path.unlink()
    run(folder, case, scans)
    assert contents(folder) == files


def test_wires_go_when_nobody_reads_them_any_more(tmp_path, scans, expected):
    folder, (tiles, _) = tmp_path / "out", expected("norm")
    cut_off(folder, "norm", scans, tiles)
    kept = {path.name for path in job_of(folder).glob("tiles-*")}
    assert "tiles-0-0-0" not in kept  # a
    assert {"tiles-0-0-1", "tiles-0-2-1"} <= kept  # statistics of a, and the sum, which the last phase reads


def test_a_torn_line_costs_its_tile(tmp_path, scans, expected):
    folder, (tiles, files) = tmp_path / "out", expected("gzip")
    done = cut_off(folder, "gzip", scans, tiles // 2)
    journal = job_of(folder) / "journal"
    journal.write_bytes(journal.read_bytes()[:-7])
    summary = run(folder, "gzip", scans)
    assert (summary["tiles_resumed"], summary["tiles_computed"]) == (done - 1, tiles - done + 1)
    assert contents(folder) == files


def test_everything_in_it_is_for_its_owner_alone(tmp_path, scans):
    cut_off(tmp_path / "out", "norm", scans, 3)
    job = job_of(tmp_path / "out")
    assert job.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in job.iterdir()} == {0o600}
    text = (job / "job.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["format"] == 1


def edit(folder, **changed):
    path = job_of(folder) / "job.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


REFUSED = {
    "version": (lambda folder: edit(folder, volconv="0.0.0"), {}, "begun by volconv 0.0.0, this is "),
    "format": (lambda folder: edit(folder, format=99), {}, "another volconv"),
    "machine": (lambda folder: edit(folder, arithmetic="none"), {}, "on a machine with none arithmetic"),
    "grid": (lambda folder: edit(folder, grids=[[[0, 5], [0, 5], [0, 1]]]), {}, "tile borders"),
    "no grid": (lambda folder: edit(folder, grids="none"), {}, "tile grid"),
    "dtype": (None, {"dtype": "int16"}, "with --dtype left out, this run has int16"),
    "algorithm": (None, {"algorithm": "direct"}, "--algorithm"),
    "channels": (None, {"channels": "vector"}, "--channels"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_changes_the_result_is_refused(tmp_path, scans, expected, kind):
    prepare, options, said = REFUSED[kind]
    folder, (_, files) = tmp_path / "out", expected("nii")
    cut_off(folder, "nii", scans, 2)
    if prepare is not None:
        kept = (job_of(folder) / "job.json").read_bytes()
        prepare(folder)
    before = {path.name: path.read_bytes() for path in job_of(folder).iterdir()}
    with pytest.raises(ResumeError, match=said) as caught:
        run(folder, "nii", scans, **options)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in job_of(folder).iterdir()} == before
    if prepare is not None:
        (job_of(folder) / "job.json").write_bytes(kept)
    run(folder, "nii", scans)
    assert contents(folder) == files


@pytest.fixture
def job(tmp_path, scans):
    """A job of files, which ends after two tiles: the spec, its parameter, weights, two scans."""
    weights = np.random.default_rng(1).standard_normal((2, 1, 3, 3, 3)).astype("f4")
    np.savez(tmp_path / "w.npz", **{"a.weight": weights, "a.bias": weights[:, 0, 0, 0, 0]})
    shutil.copy(scans / "one.nii.gz", tmp_path / "scan.nii.gz")
    spec = {
        "volconv": 1, "name": "net", "weights": "w.npz", "parameters": {"s": {"default": 1.5}},
        "stages": [
            {"op": "Conv3d", "name": "a", "kernel_size": 3, "padding": 1, "out_channels": 2},
            {"op": "Affine", "name": "b", "scale": "$s"},
        ],
    }  # fmt: skip
    (tmp_path / "spec.json").write_text(json.dumps(spec))

    def call(stop_after=None, output="out.nii", scan="scan.nii.gz", function=volconv.run, **more):
        def listen(event):
            if isinstance(event, TileDone) and stop_after is not None and event.index + 1 >= stop_after:
                raise CutOffError

        options = {"tile": TILE, "resume": True, "on_event": listen, **more}
        return function(tmp_path / "spec.json", tmp_path / scan, tmp_path / output, **options)

    with pytest.raises(CutOffError):
        call(stop_after=2)
    return call


def other_spec(folder):
    path = folder / "spec.json"
    path.write_text(path.read_text().replace('"net"', '"other net"'))


def other_weights(folder):
    weights = np.ones((2, 1, 3, 3, 3), "f4")
    np.savez(folder / "w.npz", **{"a.weight": weights, "a.bias": weights[:, 0, 0, 0, 0]})


def other_input(folder, name="scan.nii.gz"):
    nib.save(nib.Nifti1Image(np.ones(SHAPE, "f4"), np.eye(4)), folder / name)


def larger_input(folder):
    nib.save(nib.Nifti1Image(np.ones((30, 30, 30), "f4"), np.eye(4)), folder / "scan.nii.gz")


OTHERS = {
    "spec": (other_spec, {}, r"with another spec, net \(SHA-256 [0-9a-f]{12}\.\.\.\); this one is other net"),
    "weights": (other_weights, {}, r"with other weights, w.npz .*; this run reads w.npz"),
    "input": (other_input, {}, r"with another input, scan.nii.gz .*; this run reads scan.nii.gz"),
    "larger input": (larger_input, {}, "with another input"),
    "setting": (None, {"settings": {"s": 2.5}}, "with --set s 1.5, this run has 2.5"),
    "outputs": (None, {"save": {"a": "a.nii"}}, r"for the outputs b \(out.nii\), this run is for b \(out.nii\), a "),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("function", [volconv.run, volconv.plan])
def test_a_run_with_another_result_is_refused(tmp_path, job, kind, function):
    change, options, said = OTHERS[kind]
    if change is not None:
        change(tmp_path)
    if "save" in options:
        options = {"save": {"a": str(tmp_path / "a.nii")}}
    with pytest.raises(ResumeError, match=said) as caught:
        job(function=function, **options)
    assert caught.value.exit_code == 3
    assert caught.value.file == str(tmp_path / "out.nii.volconv")
    assert len((tmp_path / "out.nii.volconv" / "journal").read_text().splitlines()) >= 2
    assert not list(tmp_path.glob("out.nii"))


def test_the_same_files_with_other_times_are_the_same(tmp_path, job):
    os.utime(tmp_path / "scan.nii.gz", ns=(0, 0))
    assert job(function=volconv.plan).done >= 2
    assert job()["tiles_resumed"] >= 2


def test_a_dataset_is_part_of_what_is_read(tmp_path, job):
    with h5py.File(tmp_path / "two.h5", "w") as file:
        for name in ("a", "b"):
            file[name] = np.random.default_rng(len(name)).random((14, 16, 20)).astype("f4")
            file[name].attrs["axes"] = "zyx"
    with pytest.raises(CutOffError):
        job(stop_after=2, scan="two.h5:/a", output="two.nii")
    with pytest.raises(ResumeError, match="with the datasets /a, this run reads /b"):
        job(scan="two.h5:/b", output="two.nii")


def test_a_budget_below_the_stored_tiles(tmp_path, scans):
    folder = tmp_path / "out"
    cut_off(folder, "norm", scans, 1, tile=(14, 16, 20))
    said = r"the tiles that the job was begun with need .*; give --memory \d+MiB"
    with pytest.raises(BudgetError, match=said) as caught:
        run(folder, "norm", scans, memory=BASELINE_BYTES + 5 * MIB)
    assert caught.value.exit_code == 4
    enough = int(str(caught.value).split("--memory ")[1].split("MiB")[0])
    assert run(folder, "norm", scans, memory=enough * MIB)["tiles_resumed"] == 1


def test_a_plan_says_what_is_done_and_uses_the_stored_grid(tmp_path, scans):
    folder = tmp_path / "out"
    spec = {"volconv": 1, "name": "net", **PLAIN}
    arguments = (spec, scans / "one.nii.gz", folder / "out.nii")
    folder.mkdir()
    assert volconv.plan(*arguments, tile="whole", resume=True).done == 0
    done = cut_off(folder, "nii", scans, 3)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    plan = volconv.plan(*arguments, tile="whole", resume=True)
    assert plan.done == plan.to_json()["tiles_done"] == done
    assert plan.tile_shape == TILE
    assert f"resumed  {done} of {plan.count} tiles are done" in str(plan)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    fresh = volconv.plan(*arguments, tile="whole")
    assert fresh.done is None
    assert fresh.count == 1
    assert plan.scratch_bytes == fresh.scratch_bytes + 14 * 16 * 20 * 2 * 4


def test_a_job_that_another_run_is_at(tmp_path, scans):
    folder = tmp_path / "out"
    cut_off(folder, "nii", scans, 2)
    held = RunFolder(folder / "out.nii")
    try:
        for resume in (True, False):
            with pytest.raises(OutputError, match=r"is being written by process .* since") as caught:
                run(folder, "nii", scans, resume=resume)
            assert caught.value.exit_code == 2
    finally:
        held.release()
    assert run(folder, "nii", scans)["tiles_resumed"] >= 2


def test_a_run_without_resume_takes_a_leftover_over(tmp_path, scans, expected):
    folder = tmp_path / "out"
    cut_off(folder, "nii", scans, 2)
    summary = run(folder, "nii", scans, resume=False)
    assert summary["tiles_resumed"] == 0
    assert contents(folder) == expected("nii")[1]
    assert not list(folder.glob("*.volconv"))


def test_a_run_that_is_refused_leaves_a_leftover_alone(tmp_path, scans):
    folder = tmp_path / "out"
    done = cut_off(folder, "nii", scans, 2)
    (folder / "out.nii").write_bytes(b"precious")
    for resume in (True, False):
        with pytest.raises(OutputError, match="exists"):
            run(folder, "nii", scans, resume=resume)
    assert (folder / "out.nii").read_bytes() == b"precious"
    assert lines(folder) == done
    assert run(folder, "nii", scans, force=True)["tiles_resumed"] == done


def test_a_finished_job_is_finished(tmp_path, scans, expected):
    folder = tmp_path / "out"
    run(folder, "nii", scans)
    summary = run(folder, "nii", scans)
    assert summary["skipped"]
    assert contents(folder) == expected("nii")[1]
    assert not list(folder.glob("*.volconv"))


def test_a_folder_of_many_jobs(tmp_path, scans, expected):
    """With ``--scratch`` each output has a folder of its own in there."""
    scratch = tmp_path / "scratch"
    for name in ("a", "b"):
        with pytest.raises(CutOffError):
            run(tmp_path / name, "gzip", scans, stop_after=2, scratch=scratch)
        assert not list((tmp_path / name).iterdir())
    assert len(list(scratch.iterdir())) == 2
    assert all(path.name.startswith("out.nii.gz-") for path in scratch.iterdir())
    for name in ("a", "b"):
        assert run(tmp_path / name, "gzip", scans, scratch=scratch)["tiles_resumed"] >= 2
        assert contents(tmp_path / name) == expected("gzip")[1]
    assert not scratch.exists() or not list(scratch.iterdir())


def test_refused_before_the_first_tile_nothing_stays(tmp_path, scans):
    with pytest.raises(BudgetError):
        run(tmp_path / "out", "nii", scans, memory=MIB)
    with pytest.raises(OutputError, match="does not exist"):
        volconv.run({"volconv": 1, **PLAIN}, scans / "one.nii.gz", tmp_path / "none" / "out.nii", resume=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


def test_errors_of_the_work_keep_what_is_finished(tmp_path, job):
    scan = tmp_path / "scan.nii.gz"
    kept = scan.read_bytes()

    def change(event):
        if isinstance(event, TileDone):
            other_input(tmp_path)

    with pytest.raises(volconv.VolconvError, match="changed while it was read") as caught:
        job(on_event=change)
    assert caught.value.exit_code == 1
    assert not (tmp_path / "out.nii").exists()
    scan.write_bytes(kept)
    assert job()["tiles_computed"] > 0
    assert Path(tmp_path / "out.nii").exists()


def test_no_tile_of_an_input_that_changed_is_kept(tmp_path, scans):
    scan, spec = tmp_path / "scan.nii", {"volconv": 1, "name": "net", **PLAIN}
    nib.save(nib.load(scans / "one.nii.gz"), scan)
    kept = scan.read_bytes()
    volconv.run(spec, scan, tmp_path / "whole.nii", tile=TILE)

    def change(event):
        if isinstance(event, TileDone):
            with scan.open("r+b") as file:  # the same inode and size
                file.seek(352)
                file.write(bytes(len(kept) - 352))

    with pytest.raises(volconv.VolconvError, match="changed while it was read"):
        volconv.run(spec, scan, tmp_path / "out.nii", tile=TILE, resume=True, on_event=change)
    scan.write_bytes(kept)
    volconv.run(spec, scan, tmp_path / "out.nii", tile=TILE, resume=True)
    assert (tmp_path / "out.nii").read_bytes() == (tmp_path / "whole.nii").read_bytes()
