"""Runge–Kutta methods on the probability flow, in a variable of one's choice."""

from scoresde.samplers.runge_kutta.heun import Heun

MEMBERS = {"heun": Heun}

__all__ = ["MEMBERS", "Heun"]
