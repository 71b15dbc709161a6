from __future__ import annotations

import os

import pytest


@pytest.fixture
def no_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes without waiting for the disk, where its order is not in question."""
    monkeypatch.setattr(os, "fdatasync", int)
    monkeypatch.setattr(os, "fsync", int)
