"""scoresde: score-based generative modelling with samples you can trust."""

__version__ = "0.1.0"
