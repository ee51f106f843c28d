"""What a process may use, read from trees of files that imitate cgroups of both versions."""

import os
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volconv import settings
from volconv.errors import UsageError

GIB = 2**30


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 64 GiB, 8 CPUs and no limits; call it with files to add, path -> text."""
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)

    def add(**files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    add(**{"proc/meminfo": f"MemTotal: 99999999 kB\nMemFree: 1 kB\nMemAvailable: {64 * 2**20} kB\n"})
    return add


class TestParseSize:
    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("2GB", 2 * 10**9),
            ("512MiB", 512 * 2**20),
            ("1500000000", 1_500_000_000),
            ("1.5g", 1_500_000_000),
            ("4k", 4000),
            (" 3 KiB ", 3072),
            ("1tib", 2**40),
            ("17B", 17),
            (".5GB", 500_000_000),
        ],
    )
    def test_sizes(self, text, size):
        assert settings.parse_size(text) == size

    @pytest.mark.parametrize(
        "text", ["", "GB", "-1GB", "2 XB", "1e9", "0", "0.2", "2iB", "nan", "٢GB", "9" * 40, "2GB\n2"]
    )
    def test_anything_else_is_a_usage_error(self, text):
        with pytest.raises(UsageError, match="expected a size"):
            settings.parse_size(text)

    @given(st.integers(1, 10**6), st.sampled_from(["", "B", "kB", "KiB", "MB", "MiB", "GB", "GiB"]))
    def test_units_scale(self, number, unit):
        powers = {"k": 1, "m": 2, "g": 3}
        factor = (1024 if "i" in unit else 1000) ** powers.get(unit[:1].lower(), 0)
        assert settings.parse_size(f"{number}{unit}") == number * factor

    @given(st.text(max_size=12))
    def test_no_other_exception(self, text):
        try:
            size = settings.parse_size(text)
        except UsageError:
            return
        assert size >= 1


class TestMemory:
    def test_half_of_what_is_free(self, machine):
        assert settings.memory_budget(None, root=machine(), environ={}) == 32 * GIB

    def test_a_given_size_decides_alone(self, machine):
        assert settings.memory_budget("3GiB", root=machine(), environ={"SLURM_MEM_PER_NODE": "1"}) == 3 * GIB
        assert settings.memory_budget(12345, root=machine(), environ={}) == 12345

    def test_cgroup_2(self, machine):
        root = machine(**{"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/memory.max": f"{4 * GIB}\n"})
        assert settings.usable_memory(root=root, environ={}) == 4 * GIB

    def test_cgroup_2_limit_of_a_parent_holds(self, machine):
        root = machine(
            **{
                "proc/self/cgroup": "0::/slurm/uid_1/job_2/step_0\n",
                "sys/fs/cgroup/slurm/uid_1/job_2/step_0/memory.max": "max\n",
                "sys/fs/cgroup/slurm/uid_1/job_2/memory.max": f"{6 * GIB}\n",
                "sys/fs/cgroup/slurm/memory.max": f"{16 * GIB}\n",
            }
        )
        assert settings.usable_memory(root=root, environ={}) == 6 * GIB

    def test_cgroup_2_soft_limit_counts(self, machine):
        root = machine(**{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.high": f"{2 * GIB}\n"})
        assert settings.usable_memory(root=root, environ={}) == 2 * GIB

    def test_cgroup_2_in_a_container_that_sees_only_its_root(self, machine):
        root = machine(**{"proc/self/cgroup": "0::/../../docker/abc\n", "sys/fs/cgroup/memory.max": f"{5 * GIB}\n"})
        assert settings.usable_memory(root=root, environ={}) == 5 * GIB

    def test_cgroup_1_nested(self, machine):
        root = machine(
            **{
                "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/a/b\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{3 * GIB}\n",
                "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": f"{7 * GIB}\n",
            }
        )
        assert settings.usable_memory(root=root, environ={}) == 3 * GIB

    def test_the_limit_of_another_controller_is_no_limit(self, machine):
        root = machine(**{"proc/self/cgroup": "3:pids:/x\n", "sys/fs/cgroup/pids/x/memory.max": "1\n"})
        assert settings.usable_memory(root=root, environ={}) == 64 * GIB

    @pytest.mark.parametrize(
        ("environ", "expected"),
        [
            ({"SLURM_MEM_PER_NODE": "2048"}, 2 * GIB),
            ({"SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_PER_TASK": "3"}, 3 * GIB),
            ({"SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_ON_NODE": "2"}, 2 * GIB),
            ({"SLURM_MEM_PER_CPU": "512"}, GIB // 2),
            ({"SLURM_MEM_PER_NODE": "0"}, 64 * GIB),
            ({"SLURM_MEM_PER_NODE": "lots"}, 64 * GIB),
        ],
    )
    def test_slurm(self, machine, environ, expected):
        assert settings.usable_memory(root=machine(), environ=environ) == expected

    def test_ulimits(self, machine, monkeypatch):
        root = machine()
        limits = {resource.RLIMIT_AS: 3 * GIB, resource.RLIMIT_DATA: 2 * GIB}
        monkeypatch.setattr(resource, "getrlimit", lambda kind: (limits[kind], resource.RLIM_INFINITY))
        assert settings.usable_memory(root=root, environ={}) == 2 * GIB

    def test_smallest_wins(self, machine):
        root = machine(**{"proc/self/cgroup": "0::/j\n", "sys/fs/cgroup/j/memory.max": f"{4 * GIB}\n"})
        assert settings.usable_memory(root=root, environ={"SLURM_MEM_PER_NODE": "3072"}) == 3 * GIB
        assert settings.usable_memory(root=root, environ={"SLURM_MEM_PER_NODE": "5120"}) == 4 * GIB

    def test_without_proc(self, tmp_path):
        assert settings.usable_memory(root=tmp_path / "none", environ={}) > 0


class TestThreads:
    def test_affinity(self, machine):
        assert settings.usable_cpus(root=machine()) == 8

    @pytest.mark.parametrize(("text", "cpus"), [("250000 100000", 3), ("max 100000", 8), ("50000 100000", 1), ("", 8)])
    def test_quota_of_version_2(self, machine, text, cpus):
        root = machine(**{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": text})
        assert settings.usable_cpus(root=root) == cpus

    @pytest.mark.parametrize(("quota", "cpus"), [("200000", 2), ("-1", 8)])
    def test_quota_of_version_1(self, machine, quota, cpus):
        root = machine(
            **{
                "proc/self/cgroup": "2:cpu,cpuacct:/a\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": f"{quota}\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
            }
        )
        assert settings.usable_cpus(root=root) == cpus

    @pytest.mark.parametrize(
        ("n", "environ", "threads"),
        [
            (None, {}, 8),
            (3, {"SLURM_CPUS_PER_TASK": "2"}, 3),
            (None, {"SLURM_CPUS_PER_TASK": "2", "NUMBA_NUM_THREADS": "4"}, 2),
            (None, {"NUMBA_NUM_THREADS": "4", "OMP_NUM_THREADS": "5"}, 4),
            (None, {"OMP_NUM_THREADS": "5,2"}, 5),
            (None, {"OMP_NUM_THREADS": "many"}, 8),
            (99, {}, 8),
            (None, {"SLURM_CPUS_PER_TASK": "64"}, 8),
        ],
    )
    def test_the_first_that_is_given_decides(self, machine, n, environ, threads):
        assert settings.thread_count(n, root=machine(), environ=environ) == threads

    def test_less_than_one_is_refused(self):
        with pytest.raises(UsageError, match="at least 1"):
            settings.thread_count(0)
