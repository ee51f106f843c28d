"""The registry of kernels, their cache on disk, compilation in child processes, threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numba
import numpy as np
import pytest

from volconv.kernels import cache, jit
from volconv.kernels.cache import KernelCache, cache_key, default_folder
from volconv.kernels.compile_main import compile_in_child
from volconv.kernels.jit import KernelSpec

ROOT = Path(__file__).parents[2]
COPY = """
import sys
import numpy as np
from volconv.kernels import jit
from volconv.kernels.copies import copy_specs, run_copy
before = len(jit.missing(copy_specs("float32")))
x = np.arange(12, dtype=np.float32)
out = np.zeros_like(x)
run_copy(x, 0, (4, 4, 4, 1), out, 0, (4, 4, 4, 1), (1, 1, 4), 3)
assert (out == x).all()
print(before, "numba.np.linalg" in sys.modules)
"""


def start(code, **environ):
    """Start a fresh Python that runs `code`."""
    dropped = ("NUMBA_", "XDG_CACHE_HOME", "OMP_WAIT_POLICY")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        env={**kept, "PYTHONPATH": str(ROOT), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code, **environ):
    """Run `code` in a fresh Python and return (stdout, stderr)."""
    process = start(code, **environ)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out.strip(), err


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    """An empty cache for this process."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jit.kernel_cache.cache_clear()
    yield jit.kernel_cache()
    jit.kernel_cache.cache_clear()


def squares(ahead):
    """A kernel quick to compile that nothing else uses."""
    return KernelSpec("copies.squares", "float64", (1, ahead))


def forget(monkeypatch):
    monkeypatch.setattr(jit, "_kernels", {})


def test_a_second_process_finds_what_the_first_compiled(tmp_path):
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    assert run(COPY, **environ)[0] == "2 True"
    (kept,) = (tmp_path / "volconv").glob("*/*")
    before = kept.stat().st_mtime_ns
    out, err = run(COPY, **environ)
    assert out == "1 False"  # nor was the compiler's own library loaded, which takes 0.3 s
    assert not err
    assert kept.stat().st_mtime_ns == before


@pytest.mark.slow
def test_many_processes_at_once_on_a_cold_cache(tmp_path):
    processes = [start(COPY, XDG_CACHE_HOME=str(tmp_path)) for _ in range(3)]
    for process in processes:
        _, err = process.communicate()
        assert process.returncode == 0, err
    assert [path.name for path in (tmp_path / "volconv").glob("*/*")] == ["copies.rows_float32"]


def test_an_unwritable_cache_gives_one_note_and_the_result():
    out, err = run(COPY, HOME="/proc/x")
    assert out.split()[0] == "2"
    assert err.count("\n") == 1
    assert "cannot be written" in err


@pytest.mark.parametrize("value", ["0", "many", "-1", ""])
def test_a_wrong_number_of_threads_in_the_environment_is_ignored(value, tmp_path):
    code = "from volconv.kernels import jit; import os; print(jit.numba.config.NUMBA_NUM_THREADS > 0)"
    out, _ = run(code, NUMBA_NUM_THREADS=value, XDG_CACHE_HOME=str(tmp_path))
    assert out == "True"


def test_settings_of_numba_are_made_before_it_loads(tmp_path):
    code = "import os, volconv.kernels.simd; print(os.environ['OMP_WAIT_POLICY'])"
    assert run(code, XDG_CACHE_HOME=str(tmp_path))[0] == "passive"
    assert run(code, XDG_CACHE_HOME=str(tmp_path), OMP_WAIT_POLICY="active")[0] == "active"


def test_numba_that_does_not_load_is_one_clear_error(tmp_path):
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text("raise ImportError('Numba needs NumPy 2.0 or less. Got 9.9.')")
    code = (
        "from volconv.errors import RunError\n"
        "try:\n    import volconv.kernels.jit\n"
        "except RunError as error:\n    print(error)"
    )
    out, _ = run(code, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert out == "numba cannot be loaded: Numba needs NumPy 2.0 or less. Got 9.9."


def test_numba_switched_off_is_one_clear_error(tmp_path):
    code = COPY.replace("run_copy(x", "\ntry:\n    run_copy(x") + "\n"
    code = code.replace(", 3)\nassert (out == x).all()\n", ", 3)\nexcept jit.RunError as error:\n    print(error)\n")
    out, _ = run(code.rsplit("print(before", 1)[0], NUMBA_DISABLE_JIT="1", XDG_CACHE_HOME=str(tmp_path))
    assert "NUMBA_DISABLE_JIT is set" in out


def test_children_compile_and_the_parent_loads(fresh_cache, monkeypatch):
    forget(monkeypatch)
    specs = [squares(5), squares(6)]
    assert jit.missing([*specs, *specs]) == specs
    assert compile_in_child(specs, jobs=2)
    assert jit.missing(specs) == []
    monkeypatch.setattr(fresh_cache, "write", pytest.fail)  # nothing is compiled any more
    kernels = [jit.get_kernel(spec) for spec in specs]
    # Two processes compiled these; had they given one name to both, a call could reach the wrong one.
    (first,), (second,) = (kernel.function.overloads.values() for kernel in kernels)
    assert first.fndesc.mangled_name != second.fndesc.mangled_name


def test_a_child_that_fails_leaves_the_work_to_this_process(fresh_cache):
    assert fresh_cache.writable_folder()
    unknown = KernelSpec("copies.no_such_kernel", "float64")
    assert not compile_in_child([unknown, squares(5)])
    assert unknown in jit.missing([unknown])


def test_no_place_at_all_still_compiles(monkeypatch, caplog):
    forget(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", "/proc/x")
    monkeypatch.setattr(cache, "_noted", set())
    nowhere = KernelCache(Path("/proc/x/volconv"))
    monkeypatch.setattr(jit, "kernel_cache", lambda: nowhere)
    assert not compile_in_child([squares(7)])
    assert jit.get_kernel(squares(7)).spec == squares(7)
    assert jit.missing([squares(7)]) == []
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:0],
        lambda content: content[:40],
        lambda content: content[:-1],
        lambda content: b"x" + content[1:],
        lambda content: content[:20] + bytes([content[20] ^ 1]) + content[21:],
        lambda content: content[:5000] + bytes([content[5000] ^ 64]) + content[5001:],
        lambda content: bytes(len(content)),
    ],
)
def test_a_damaged_file_counts_as_absent(damage, tmp_path):
    kept = KernelCache(tmp_path)
    kept.write("kernel", os.urandom(9000))
    path = tmp_path / "kernel"
    path.write_bytes(damage(path.read_bytes()))
    assert kept.read("kernel") is None
    kept.write("kernel", b"good")
    assert kept.read("kernel") == b"good"


def test_a_damaged_kernel_is_compiled_again(fresh_cache, monkeypatch):
    forget(monkeypatch)
    jit.get_kernel(squares(9))
    (path,) = fresh_cache.folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    forget(monkeypatch)
    assert jit.missing([squares(9)]) == [squares(9)]
    jit.get_kernel(squares(9))
    assert jit.missing([squares(9)]) == []
    assert len(path.read_bytes()) > len(whole) // 2


def test_a_folder_that_can_only_be_read_is_read(tmp_path):
    KernelCache(tmp_path / "image").write("kernel", b"code")
    private = tmp_path / "private"
    private.mkdir()
    assert KernelCache(tmp_path / "image", private).read("kernel") == b"code"


def test_a_disk_that_fills_up_is_no_error(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(cache, "_noted", set())
    kept = KernelCache(tmp_path)
    assert kept.writable_folder() == tmp_path
    kept.write("x" * 300, b"code")  # a name no file system takes
    assert kept.read("x" * 300) is None
    assert "not kept" in caplog.text
    assert not list(tmp_path.iterdir())


def test_folders_follow_the_user():
    assert default_folder("k", {"NUMBA_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a/volconv/k")
    assert default_folder("k", {"XDG_CACHE_HOME": "/b"}) == Path("/b/volconv/k")
    home = Path(os.path.expanduser("~"))  # noqa: PTH111
    assert default_folder("k", {"XDG_CACHE_HOME": "relative"}) == home / ".cache/volconv/k"
    assert default_folder("k", {"XDG_CACHE_HOME": ""}) == home / ".cache/volconv/k"


def test_the_key_tells_apart_what_changes_the_code():
    same = {"NUMBA_NUM_THREADS": "3", "NUMBA_CACHE_DIR": "/x", "HOME": "/y"}
    key = cache_key("cpu", ["numba 1"], {})
    assert cache_key("cpu", ["numba 1"], same) == key
    others = [cache_key("cpu2", ["numba 1"], {}), cache_key("cpu", ["numba 2"], {})]
    others += [cache_key("cpu", ["numba 1"], {name: "256"}) for name in ("VOLCONV_VECTOR_BITS", "NUMBA_OPT")]
    assert len({key, *others}) == 5


def test_specs_go_through_json():
    spec = KernelSpec("conv_last.conv", "float32", (16, 8, 2))
    assert KernelSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_kernels_take_only_their_own_types():
    kernel = jit.get_kernel(KernelSpec("norm.vector_norm", "float32"))
    with pytest.raises(TypeError):
        kernel(np.zeros(3, np.int32))
    assert kernel.function.targetoptions["nogil"]


def test_threads_are_capped_and_hold_in_every_thread():
    seen = []
    before = jit.thread_count()
    try:
        assert jit.set_threads(10_000) == numba.config.NUMBA_NUM_THREADS
        assert jit.set_threads(0) == 1
        kernel = jit.get_kernel(KernelSpec("copies.rows", "float32"))

        def work():
            x, five = np.zeros(4, np.float32), (1, 1, 1, 1, 1)
            kernel(x, 0, five, x, 0, five, five, 1, 1)
            seen.append(numba.get_num_threads())

        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
    finally:
        jit.set_threads(before)
    assert seen == [1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_children_end_with_the_process_they_compile_for(tmp_path):
    """However that ends: a child that compiles for nobody would keep a processor busy for a minute."""
    code = """
import os, sys
from pathlib import Path
from volconv.kernels import compile_main
start = compile_main._start_child
def watch(job):
    child, lifeline = start(job)
    print(child.pid, flush=True)
    os.kill(os.getpid(), 9)
compile_main._start_child = watch
compile_main.compile_in_child([compile_main.KernelSpec("conv_winograd.winograd", "float64", (1,))])
"""
    process = start(code, XDG_CACHE_HOME=str(tmp_path))
    out, _ = process.communicate()
    assert process.returncode == -9
    deadline = time.monotonic() + 60
    while is_running(int(out)):
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.05)


def is_running(pid):
    """Whether there is such a process that has not ended yet; one that nobody waits for stays in the table."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
