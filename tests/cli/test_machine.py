"""Processes and machines that are not as one would wish them: little memory, no home, odd names, other processors."""

import json
import os
import platform
import resource
import subprocess
import sys

import h5py
import nibabel as nib
import numpy as np
import pytest

from volconv.cli.main import quiet_libraries
from volconv.formats.record import read_record
from volconv.settings import usable_cpus

STAGE = {"op": "Conv3d", "out_channels": 4, "kernel_size": 3, "padding": 1, "weight": {"init": "default", "seed": 0}}
SPEC = {"volconv": 1, "name": "small", "stages": [{**STAGE, "bias": False}, {"op": "ReLU"}]}


@pytest.fixture
def folder(tmp_path):
    """A folder with a spec and a scan."""
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    values = np.random.default_rng(0).standard_normal((20, 24, 28)).astype("f4")
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "scan.nii")
    return tmp_path


def run(folder, *words, limits=None, **environ):
    """Run ``volconv WORDS...`` in `folder`; names may be bytes."""

    def limit():
        for kind, value in (limits or {}).items():
            resource.setrlimit(kind, (value, value))

    kept = {name: value for name, value in os.environ.items() if environ.get(name, "") is not None}
    given = {name: value for name, value in environ.items() if value is not None}
    return subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"volconv", *map(os.fsencode, words)],
        cwd=folder,
        env={**kept, **given},
        capture_output=True,
        check=False,
        preexec_fn=limit,
    )


PLAIN = ("run", "spec.json", "scan.nii", "-o", "out.nii")


def said(done):
    return done.stderr.decode("utf-8", "backslashreplace")


@pytest.mark.slow
def test_more_threads_than_processors(folder):
    done = run(folder, *PLAIN, "--threads", "500", "--json")
    assert done.returncode == 0, said(done)
    assert json.loads(done.stdout)["threads"] <= len(os.sched_getaffinity(0))
    assert usable_cpus() <= len(os.sched_getaffinity(0))


def test_libraries_of_linear_algebra_are_told_to_be_quiet(monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    quiet_libraries()
    assert (os.environ["OPENBLAS_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == ("1", "3")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_no_threads_before_there_is_work():
    code = (
        "import os\nfrom volconv.cli.main import quiet_libraries\nquiet_libraries()\n"
        "import numpy as np\nx = np.ones((300, 300))\nx @ x\nprint(len(os.listdir('/proc/self/task')))"
    )
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout.strip() == "1"


TWO_CALLERS = """
import threading
import numpy as np
import volconv
from volconv.kernels import jit
x = np.random.default_rng(0).standard_normal((2, 24, 24, 24)).astype("f4")
layers = [volconv.Conv3d(2, 8, k, padding=k // 2, init="default", seed=0) for k in (3, 5)]
expected = [layer(x).tobytes() for layer in layers]
wrong = []
def call(n):
    for _ in range(30):
        if layers[n](x).tobytes() != expected[n]:
            wrong.append(n)
threads = [threading.Thread(target=call, args=(n % 2,)) for n in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(jit.numba.threading_layer(), wrong)
"""


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_kernels_have_one_caller_at_a_time(layer):
    """Numba's own pool ends the process where two threads enter it."""
    environ = {**os.environ, "NUMBA_THREADING_LAYER": layer}
    done = subprocess.run([sys.executable, "-c", TWO_CALLERS], capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{layer} []"


@pytest.mark.slow
def test_without_a_home_nothing_is_kept_and_it_is_said_once(folder):
    done = run(folder, *PLAIN, HOME="/proc/x", XDG_CACHE_HOME=None, NUMBA_CACHE_DIR=None)
    assert done.returncode == 0, said(done)
    assert said(done).count("cannot be written") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["out.nii", "scan.nii", "spec.json"]


@pytest.mark.slow
def test_a_damaged_cache_is_no_error(folder, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    assert run(folder, *PLAIN, NUMBA_CACHE_DIR=str(cache)).returncode == 0
    expected = (folder / "out.nii").read_bytes()
    kernels = [path for path in cache.rglob("*") if path.is_file()]
    assert kernels
    for number, path in enumerate(kernels):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if number % 2 else bytes(len(content)))
    done = run(folder, *PLAIN, "--force", NUMBA_CACHE_DIR=str(cache))
    assert done.returncode == 0, said(done)
    assert (folder / "out.nii").read_bytes() == expected


@pytest.mark.slow
def test_many_processes_at_once_with_an_empty_cache(folder, tmp_path_factory):
    environ = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    line = [sys.executable, "-m", "volconv", *PLAIN[:-1]]
    started = [subprocess.Popen([*line, f"{n}.nii"], cwd=folder, env=environ, stderr=subprocess.PIPE) for n in range(4)]
    for process in started:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert len({(folder / f"{n}.nii").read_bytes() for n in range(4)}) == 1


BROKEN = {
    "numba": "raise ImportError('Numba needs NumPy 2.0 or less. Got 9.9.')",
    "llvmlite": "raise OSError('libLLVM.so: cannot open shared object file')",
    "h5py": "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility. Expected 96')",
    "zlib_ng": "raise ImportError('undefined symbol: PyUnicode_1')",
}


@pytest.mark.parametrize("name", BROKEN)
def test_libraries_that_do_not_fit_are_one_line(folder, name):
    (folder / "broken" / name).mkdir(parents=True)
    (folder / "broken" / name / "__init__.py").write_text(BROKEN[name])
    paths = os.pathsep.join(filter(None, [str(folder / "broken"), os.environ.get("PYTHONPATH")]))
    words = ("run", "spec.json", "scan.nii", "-o", "out.h5" if name == "h5py" else "out.nii.gz")
    done = run(folder, *words, PYTHONPATH=paths)
    assert done.returncode == 1
    assert said(done).count("\n") == 1
    assert BROKEN[name].split("'")[1] in said(done)
    assert not list(folder.glob("out*"))


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names a processor of x86-64")
def test_a_processor_without_fused_multiply_and_add(folder, tmp_path_factory):
    expected = run(folder, *PLAIN, "--json")
    assert expected.returncode == 0
    environ = {
        "NUMBA_CPU_NAME": "nehalem",
        "NUMBA_CPU_FEATURES": "+sse4.2,+popcnt,-avx,-fma",
        "VOLCONV_VECTOR_BITS": "128",
        "NUMBA_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
    }
    words = ("run", "spec.json", "scan.nii", "-o", "other.nii", "--json")
    done = run(folder, *words, **environ)
    assert done.returncode == 0, said(done)
    assert json.loads(done.stdout)["arithmetic"] == "no-fma"
    ours, theirs = (nib.load(folder / name).get_fdata() for name in ("out.nii", "other.nii"))
    np.testing.assert_allclose(theirs, ours, atol=1e-5, rtol=0)
    assert np.abs(ours).max() > 0.1


NAMES = (b"caf\xe9.nii", "Größe ✓.nii".encode(), b"a\nb.nii", b"[red]x\x1b[31m.nii")


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_names_that_no_locale_knows(folder, locale):
    for name in NAMES:
        (folder / os.fsdecode(name)).write_bytes((folder / "scan.nii").read_bytes())
        for output in (b"out-" + name, b"out-" + name[:-4] + b".h5"):
            done = run(folder, "run", "spec.json", name, "-o", output, LC_ALL=locale, PYTHONUTF8=None)
            assert done.returncode == 0, said(done)
            assert done.stderr.count(b"\n") == 1
            assert b"\x1b" not in done.stderr
            assert read_record(os.fsdecode(folder / os.fsdecode(output)))["spec"]["name"] == "small"
            again = run(folder, "run", "spec.json", name, "-o", output, "--skip-existing", LC_ALL=locale)
            assert (again.returncode, b"up to date" in again.stderr) == (0, True), said(again)
        missing = run(folder, "run", "spec.json", b"no " + name, "-o", "x.nii", "--json", LC_ALL=locale)
        assert missing.returncode == 2
        assert missing.stderr.count(b"\n") == 1
        assert json.loads(missing.stdout)["error"]["file"].startswith("no ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "size", [{"TERM": "dumb"}, {"TERM": None}, {"COLUMNS": "0", "LINES": "0"}, {"TERM": "nothing"}]
)
def test_terminals_of_all_kinds(folder, size):
    """On a terminal that cannot draw, or has no width, nothing is drawn and nothing fails."""
    code = (
        "import os, pty, sys\n"
        "status = pty.spawn([sys.executable, '-m', 'volconv', *sys.argv[1:]])\n"
        "sys.exit(os.waitstatus_to_exitcode(status))"
    )
    environ = {k: v for k, v in {**os.environ, "TERM": "xterm", **size}.items() if v is not None}
    done = subprocess.run(
        [sys.executable, "-c", code, *PLAIN],
        cwd=folder,
        env=environ,
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout
    assert b"wrote out.nii" in done.stdout
    assert b"Traceback" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("place", ["/nowhere/at/all", "/proc/x", "/dev/full"])
def test_temporary_folders_are_not_used(folder, place):
    done = run(folder, *PLAIN, TMPDIR=place, TEMP=place, TMP=place)
    assert done.returncode == 0, said(done)
    assert said(done).count("\n") == 1


@pytest.mark.slow
def test_files_are_closed_as_runs_go_by(folder):
    code = """
import os, resource, sys
import volconv
resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
spec = {"volconv": 1, "name": "n", "input": {"intensity": [{"minmax": [0, 1]}]}, "stages": [{"op": "ReLU"}]}
for n in range(100):
    for ending in ("nii", "nii.gz", "h5"):
        volconv.run(spec, "scan.nii", f"out.{ending}", force=True, sidecar=True)
        volconv.plan(spec, f"out.{ending}")
    try:
        volconv.run(spec, "spec.json", "x.nii")
    except volconv.VolconvError:
        pass
print(len(os.listdir("/proc/self/fd")))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 40


@pytest.mark.slow
def test_more_inputs_than_files_may_be_open(folder):
    """All channels of a volume are open at once: where that is not allowed, it is said."""
    names = [f"{n}.nii" for n in range(40)]
    for name in names:
        os.link(folder / "scan.nii", folder / name)
    (folder / "many.json").write_text(json.dumps({**SPEC, "input": {"channels": len(names)}}))
    words = ("run", "many.json", *names, "-o", "out.nii")
    done = run(folder, *words, limits={resource.RLIMIT_NOFILE: 30})
    assert done.returncode in (1, 2)
    assert said(done).count("\n") == 1
    assert "Too many open files" in said(done)
    assert not (folder / "out.nii").exists()
    done = run(folder, *words, limits={resource.RLIMIT_NOFILE: 80})
    assert done.returncode == 0, said(done)


SHORT = """
import resource, sys
import volconv
from volconv.errors import RunError
from volconv.run.events import Started
def limit(event):
    if isinstance(event, Started):
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + 2**18, resource.RLIM_INFINITY))
try:
    volconv.run("spec.json", sys.argv[1], "out.nii", on_event=limit, tile="whole", threads=1, memory="2GB")
except RunError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits address space by /proc")
@pytest.mark.parametrize("name", ["large.nii", "large.h5"])
def test_memory_that_runs_out_in_mid_run_is_said_with_what_is_needed(folder, name):
    """Memory for the tiles of a phase is allotted when that begins."""
    spec = {**SPEC, "stages": [STAGE, {"op": "InstanceNorm3d"}]}
    (folder / "spec.json").write_text(json.dumps(spec))
    values = np.random.default_rng(0).standard_normal((128, 128, 128))
    if name.endswith("h5"):
        with h5py.File(folder / name, "w") as file:
            file["raw"] = values
    else:
        nib.save(nib.Nifti1Image(values, np.eye(4)), folder / name)
    done = subprocess.run([sys.executable, "-c", SHORT, name], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no memory for ")
    assert "give a smaller --memory" in done.stdout
    assert not (folder / "out.nii").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="address space is not limited elsewhere")
def test_a_budget_beyond_what_the_process_may_have(folder):
    """With a budget that the limit does not allow, the run fails with what it needs; without one, the limit decides."""
    values = np.zeros((256, 256, 256), np.float32)
    nib.save(nib.Nifti1Image(values, np.eye(4)), folder / "large.nii")
    (folder / "wide.json").write_text(
        json.dumps({**SPEC, "stages": [{**STAGE, "out_channels": 32}, SPEC["stages"][0]]})
    )
    words = ("run", "wide.json", "large.nii", "-o", "out.nii", "--threads", "1")
    limits = {resource.RLIMIT_AS: 1500 * 2**20}
    done = run(folder, *words, "--memory", "8GB", "--tile", "whole", limits=limits)
    assert done.returncode == 1
    assert said(done).count("\n") == 1
    assert "give a smaller --memory" in said(done) or "run with a smaller --memory" in said(done)
    assert not (folder / "out.nii").exists()
    assert sorted(p.name for p in folder.iterdir()) == ["large.nii", "scan.nii", "spec.json", "wide.json"]
    done = run(folder, *words, limits=limits)
    assert done.returncode == 0, said(done)
