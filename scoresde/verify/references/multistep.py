"""Linear multistep methods in the papers' variables."""

from __future__ import annotations

REFERENCES: dict = {}
