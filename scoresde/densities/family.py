"""The family of densities, by name: those that a file can hold, and the file itself."""

from __future__ import annotations

from scoresde.densities.from_file import Stored
from scoresde.densities.packable import PACKABLE
from scoresde.families import Family

DENSITIES = Family("density", {**PACKABLE.members, "stored": Stored})
