"""Training: a loop that reads from top to bottom."""

from scoresde.training.averages import post_hoc
from scoresde.training.batches import Batches
from scoresde.training.interrupt import held_back
from scoresde.training.loop import Step, train
from scoresde.training.options import Training
from scoresde.training.state import TrainingState
from scoresde.training.storage import load_weights, restore, save_averages, save_state
from scoresde.training.validation import LevelError, Validation

__all__ = [
    "Batches",
    "LevelError",
    "Step",
    "Training",
    "TrainingState",
    "Validation",
    "held_back",
    "load_weights",
    "post_hoc",
    "restore",
    "save_averages",
    "save_state",
    "train",
]
