"""The thread count follows the work; a stall gives the second thread up."""

from __future__ import annotations

import time

import pytest
import torch

from scoresde import threads


@pytest.fixture(autouse=True)
def _threads(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "available_cores", lambda: 2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("seconds", "expected"), [({1: 0.02, 2: 0.005}, 2), ({1: 0.005, 2: 0.02}, 1)]
)
def test_the_faster_count_is_taken(seconds, expected) -> None:
    def work() -> None:
        time.sleep(seconds[torch.get_num_threads()])

    before = torch.get_num_threads()
    assert threads.fastest_threads(work) == expected
    assert torch.get_num_threads() == before


def test_a_count_that_the_user_set_stands(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads.fastest_threads(lambda: pytest.fail("tried")) == torch.get_num_threads()


def test_three_stalls_in_a_row_give_the_second_thread_up() -> None:
    torch.set_num_threads(2)
    guard = threads.StallGuard()
    for seconds in (1.0, 5.0, 5.0, 1.0, 5.0, 5.0):
        guard.told(seconds)
        assert torch.get_num_threads() == 2
    guard.told(5.0)
    assert torch.get_num_threads() == 1
