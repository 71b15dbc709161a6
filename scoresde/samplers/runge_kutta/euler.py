"""Euler's method."""

from __future__ import annotations

from dataclasses import dataclass

from scoresde.samplers.runge_kutta.tableau import EULER, RungeKutta


@dataclass(frozen=True, kw_only=True)
class Euler(RungeKutta):
    r"""y_s = y + h dy/dw,  h = w_s - w_t.

    In variable "sigma" y = x/alpha and dy/dw = eps: DDIM under another name, and with churn the
    Euler sampler of EDM's variables. In "time" dy/dw is the velocity, as rectified flows are
    sampled. Order 1, one evaluation a step; for few steps, and as the yardstick of every other.
    (Karras, Aittala, Aila & Laine 2022, algorithm 2 without its lines 6-8; Song et al. 2021.)
    """

    variable: str = "sigma"
    last: str = "posterior-mean"

    noun = "euler"
    evaluations = 1

    def tableau(self, t, s):
        return EULER
