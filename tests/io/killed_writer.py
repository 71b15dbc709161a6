"""Script: kill a writer at every system call of a run, each in a forked process of its own.

    python killed_writer.py dump|checkpoint|four FOLDER

For call k and mode `before` (killed instead of the call) or `within` (killed after it, and after
half of the bytes of a write) it leaves the file as FOLDER/k-mode and what the writer had reported
by then as FOLDER/k-mode.log. `four` lets four processes write one dump at once.
It is a process of its own because forking needs one without threads.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import dump_run

CALLS = ("open", "pwrite", "fsync", "fdatasync", "link", "replace", "unlink")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(fatal: int, mode: str) -> None:
    """Let the process be killed at its system call number `fatal`, counted over CALLS.

    Syncs are counted but not done: what was written survives the death of a process anyway.
    """
    counter = itertools.count()

    def wrap(name: str):
        call = getattr(os, name)
        if "sync" in name:
            call = int

        def counted(*args, **kwargs):
            if next(counter) != fatal:
                return call(*args, **kwargs)
            if mode == "within" and name == "pwrite":
                call(args[0], bytes(args[1])[: len(args[1]) // 2], args[2])
            elif mode == "within":
                call(*args, **kwargs)
            return die()

        return counted

    for name in CALLS:
        setattr(os, name, wrap(name))


def forked(work) -> int:
    """The wait status of a child that does `work`."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    return os.waitpid(child, 0)[1]


def every_crash(folder: Path, run) -> None:
    for fatal in itertools.count():
        for mode in ("before", "within"):
            path = folder / f"{fatal}-{mode}"
            log = os.open(path.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

            def work(path=path, log=log, fatal=fatal, mode=mode) -> None:
                run(path, lambda *report: os.write(log, f"{report}\n".encode()), fatal, mode)

            status = forked(work)
            os.close(log)
            if status == 0:
                return
            if not os.WIFSIGNALED(status):
                sys.exit(f"the writer failed at call {fatal}, {mode}")


def dump(path: Path, report, fatal: int, mode: str) -> None:
    arm(fatal, mode)
    dump_run.complete(path, report)


def four(folder: Path) -> None:
    path = folder / "four"
    dump_run.create(path).close()
    children = []
    for worker in range(4):
        child = os.fork()
        if child == 0:
            with dump_run.dump.resume(path, dump_run.ATTRIBUTES) as writer:
                for row in range(worker, dump_run.ROWS, 4):
                    writer.write(row, **dump_run.values(row, row + 1))
            os._exit(0)
        children.append(child)
    sys.exit(max(os.waitpid(child, 0)[1] for child in children))


def checkpoint_run():
    import torch

    from scoresde.io import checkpoint

    def run(path: Path, report, fatal: int, mode: str) -> None:
        checkpoint.save(path, {"weight": torch.zeros(50)}, {"step": 1})
        arm(fatal, mode)
        checkpoint.save(path, {"weight": torch.ones(70)}, {"step": 2})
        report("saved")

    return run


def run_script(task: str, folder: Path) -> None:
    """Run this file as a script; for tests."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, __file__, task, folder]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    task, target = sys.argv[1], Path(sys.argv[2])
    if task == "four":
        four(target)
    else:
        every_crash(target, dump if task == "dump" else checkpoint_run())
