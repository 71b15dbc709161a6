"""Interrupts held back until the step in hand is whole, so that what is saved can go on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def held_back() -> Iterator[Callable[[], bool]]:
    """Within the block an interrupt (Ctrl-C, SIGINT) only makes the yielded function true.

    A second one raises `KeyboardInterrupt` at once. Where interrupts are ignored, or outside the
    main thread, which alone receives them, nothing changes.
    """
    waiting = False

    def note(number, frame) -> None:
        nonlocal waiting
        if waiting:
            raise KeyboardInterrupt
        waiting = True

    before = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread() and before is not signal.SIG_IGN
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: waiting
    finally:
        if ours:
            signal.signal(signal.SIGINT, before or signal.default_int_handler)
