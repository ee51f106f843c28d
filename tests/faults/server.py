"""A process that has loaded all a run needs, and forks a child for every run that is asked of it: one that may be
killed at, or get an error from, the n-th call of its own that changes a file in its folder.

What goes wrong goes wrong in the functions of `os`, ahead of the system; `test_kill_sweep` sees that strace counts the
same calls. Started by `harness.Server`; the tests' own process may have threads, and must not be forked.
"""

import importlib
import json
import os
import signal
import sys
from pathlib import Path

NAMES = ("open", "write", "pwrite", "posix_fallocate", "ftruncate", "fsync", "rename", "replace", "link", "unlink",
         "fchmod", "utime", "mkdir", "rmdir", "close", "pread", "preadv")  # fmt: skip


class Counter:
    """Counts calls on files inside `folder`, and ends the n-th as it is told."""

    def __init__(self, folder, job):
        self.folder = folder
        self.job = job
        self.left = job.get("at", 0)
        self.names = job.get("names", NAMES)
        self.seen = []

    def install(self):
        for name in NAMES:
            setattr(os, name, self.wrap(name, getattr(os, name)))

    def wrap(self, name, function):
        def call(what, *more, **options):
            if name in self.names and self.concerns(name, what, more):
                self.seen.append([name, self.path_of(what)])
                self.left -= 1
                if self.left == 0:
                    if self.job.get("torn") and name in ("write", "pwrite"):
                        data = memoryview(more[0]).cast("B")
                        function(what, data[: len(data) // 2], *more[1:])
                    self.strike(name, what, function)
            return function(what, *more, **options)

        return call

    def concerns(self, name, what, more):
        if name == "open" and not more[0] & (os.O_CREAT | getattr(os, "O_TMPFILE", 0) & ~os.O_DIRECTORY):
            return False
        try:
            return (self.path_of(what) + "/").startswith(self.folder)
        except OSError:
            return False

    @staticmethod
    def path_of(what):
        path = Path(f"/proc/self/fd/{what}").readlink() if isinstance(what, int) else Path.cwd() / os.fsdecode(what)
        return str(path)

    def strike(self, name, what, function):
        error = self.job.get("error", 0)
        if not error:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "close":  # Linux closes the file, whatever it says
            function(what)
        raise OSError(error, os.strerror(error), None if isinstance(what, int) else what)


def run(job):
    """Be the command line of `job`."""
    os.chdir(job["folder"])
    for number, name in ((0, os.devnull), (1, job["stdout"]), (2, job["stderr"])):
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(fd, number)
        os.close(fd)
    counter = Counter(job["folder"] + "/", job)
    counter.install()
    sys.argv = ["volconv", *job["words"]]
    code = 0
    try:
        from volconv.cli.main import main

        main()
    except SystemExit as end:
        code = end.code or 0
    sys.stdout.flush()
    if "calls" in job:
        found = {"calls": counter.seen, "modules": sorted(sys.modules)}
        Path(job["calls"]).write_text(json.dumps(found))
    os._exit(code)


def serve():
    for line in sys.stdin:
        job = json.loads(line)
        if "modules" in job:
            for name in job["modules"]:
                importlib.import_module(name)
            print(0, flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            run(job)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
