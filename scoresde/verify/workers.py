"""Cases in worker processes, outcomes in the order of the cases."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from scoresde.verify.verdict import Check, raised


def in_workers(
    judge: Callable[[tuple[str, str]], list[Check]], cases: Sequence[tuple[str, str]], workers: int
) -> Iterator[list[Check]]:
    """judge(case) for every case, `workers` at a time, one thread each.

    New interpreters rather than forks, since torch has threads of its own. A worker that dies
    takes down the pool: the case it died of fails, and so do those not yet judged, saying so.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    before = {key: os.environ.get(key) for key in threads}
    os.environ.update(threads)  # read by the workers when they start
    try:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_single) as pool:
            futures = [pool.submit(judge, case) for case in cases]
            try:
                for (name, law), future in zip(cases, futures, strict=True):
                    try:
                        yield future.result()
                    except BrokenProcessPool:
                        died = RuntimeError("a worker process died (out of memory, or a crash)")
                        yield [raised(name, law, died)]
            except BaseException:  # interrupted: what is in hand is not waited for
                pool.shutdown(wait=False, cancel_futures=True)
                for worker in multiprocessing.active_children():
                    worker.terminate()
                raise
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _single() -> None:
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to answer
    torch.set_num_threads(1)
