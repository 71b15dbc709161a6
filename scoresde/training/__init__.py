"""Training: a loop that reads from top to bottom."""

from scoresde.training.loop import Step, train
from scoresde.training.options import Training
from scoresde.training.state import TrainingState, load_state, restore, save_state

__all__ = ["Step", "Training", "TrainingState", "load_state", "restore", "save_state", "train"]
