import importlib
import threading
import time

import pytest

worker = importlib.import_module("volconv.run.worker")
run_beside = worker.run_beside


def test_work_runs_in_another_thread_and_its_error_comes_back():
    names = []
    run_beside(lambda _: names.append(threading.current_thread().name))
    assert names == ["volconv-work"]
    with pytest.raises(ZeroDivisionError):
        run_beside(lambda _: 1 // 0)


def test_an_interruption_stops_the_work_at_its_next_tile(monkeypatch):
    done = []

    def work(stop):
        while not stop.wait(0.01):
            done.append(1)
        done.append("stopped")

    class InterruptedThread(threading.Thread):
        calls = 0

        def join(self, timeout=None):
            InterruptedThread.calls += 1
            if InterruptedThread.calls == 2:
                raise KeyboardInterrupt
            super().join(timeout)

    monkeypatch.setattr(worker, "Thread", InterruptedThread)
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        run_beside(work)
    assert done[-1] == "stopped"
    assert time.perf_counter() - started < 2


def test_a_task_goes_on_until_it_is_waited_for():
    begun, end, names = threading.Event(), threading.Event(), []

    def work():
        names.append(threading.current_thread().name)
        begun.set()
        end.wait(10)
        names.append("ended")

    task = worker.Task(work)
    assert begun.wait(10)
    end.set()
    task.wait()
    assert names == ["volconv-task", "ended"]
    with pytest.raises(ZeroDivisionError):
        worker.Task(lambda: 1 // 0).wait()
