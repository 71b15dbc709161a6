"""Signals held back until the step in hand is whole, so that what is saved can go on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HELD = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)


@contextmanager
def held_back() -> Iterator[Callable[[], signal.Signals | None]]:
    """Within the block SIGINT, SIGTERM and SIGUSR1 only let the yielded function tell them.

    It gives the first that came, or None. A second Ctrl-C raises `KeyboardInterrupt` at once.
    Signals that are ignored stay so, and outside the main thread, which alone receives them,
    nothing changes.
    """
    came: signal.Signals | None = None

    def note(number, frame) -> None:
        nonlocal came
        if came is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        came = came or signal.Signals(number)

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in HELD if main}
    ours = {number for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in ours:
        signal.signal(number, note)
    try:
        yield lambda: came
    finally:
        for number in ours:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, before[number] or default)
