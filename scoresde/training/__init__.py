"""Training: a loop that reads from top to bottom."""

from scoresde.training.interrupt import held_back
from scoresde.training.loop import Step, train
from scoresde.training.options import Training
from scoresde.training.state import TrainingState, load_state, restore, save_state

__all__ = [
    "Step",
    "Training",
    "TrainingState",
    "held_back",
    "load_state",
    "restore",
    "save_state",
    "train",
]
