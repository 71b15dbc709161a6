"""What ends a command from outside: Ctrl-C, SIGTERM and SIGUSR1, each told in one line."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from scoresde.errors import Preempted


class Stopping:
    """What a user is told if the command is stopped now: what is safe, and how to go on."""

    def __init__(self, told: str):
        self.told = told


@contextmanager
def stoppable(told: str) -> Iterator[Stopping]:
    """Within the block Ctrl-C raises `KeyboardInterrupt` with a note of what the user is told.

    SIGTERM and SIGUSR1 raise `Preempted` with the same, once the block has cleaned up as after
    Ctrl-C. Signals that are ignored stay so; outside the main thread, which alone receives them,
    nothing changes.
    """
    came: signal.Signals | None = None

    def stop(number, frame) -> None:
        nonlocal came
        came = signal.Signals(number)
        raise KeyboardInterrupt  # no `except Exception` on the way takes it for its own

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _numbers() if main}
    ours = {number for number, handler in before.items() if handler is not signal.SIG_IGN}
    stopping = Stopping(told)
    try:
        for number in ours:
            signal.signal(number, stop)
        yield stopping
    except KeyboardInterrupt as error:
        if came is None:
            error.add_note(stopping.told)
            raise
        raise Preempted(f"stopped by {came.name}: {stopping.told}") from None
    finally:
        for number in ours:
            signal.signal(number, before[number] or signal.SIG_DFL)


def _numbers() -> list[signal.Signals]:
    names = ("SIGTERM", "SIGUSR1")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]
