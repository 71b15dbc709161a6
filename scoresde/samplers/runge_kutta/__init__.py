"""Runge–Kutta methods on the probability flow, in a variable of one's choice."""

from scoresde.samplers.runge_kutta.euler import Euler
from scoresde.samplers.runge_kutta.heun import Heun
from scoresde.samplers.runge_kutta.midpoint import DPM2, Midpoint
from scoresde.samplers.runge_kutta.rk4 import RK4

MEMBERS = {"euler": Euler, "heun": Heun, "midpoint": Midpoint, "dpm-2": DPM2, "rk4": RK4}

__all__ = ["DPM2", "MEMBERS", "RK4", "Euler", "Heun", "Midpoint"]
