"""Training runs in their folders: begin, go on, log, average afterwards."""

from scoresde.runs.folder import (
    BEST,
    DAMAGED,
    LOG,
    PREVIOUS,
    begin_folder,
    resume_folder,
    threads_of,
)
from scoresde.runs.lock import alone_in
from scoresde.runs.reconstruction import Reconstruction, reconstruct
from scoresde.runs.training import Run, prepare, train_in_folder

__all__ = [
    "BEST",
    "DAMAGED",
    "LOG",
    "PREVIOUS",
    "Reconstruction",
    "Run",
    "alone_in",
    "begin_folder",
    "prepare",
    "reconstruct",
    "resume_folder",
    "threads_of",
    "train_in_folder",
]
