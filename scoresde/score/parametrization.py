r"""One score, many names: the affine table between kinds of prediction.

Every kind is one linear combination p x0 + q eps of the posterior means x0 = E[x|z], eps =
E[eps|z]:

    kind       p                      q
    x0         1                      0
    eps        0                      1
    score      0                     -1/sigma
    v         -sigma/scale            alpha/scale          scale = sqrt(alpha^2 + sigma^2)
    velocity   alpha'                 sigma'
    F          sigma/(d s)           -alpha d/s            d = sigma_data, s = sqrt(sigma^2 +
    alpha^2 d^2)

and the state itself is z = alpha x0 + sigma eps, so two kinds a and b are tied by

    b = [(p_b q_a - q_b p_a) z + (alpha q_b - sigma p_b) a] / (alpha q_a - sigma p_a).

v is the derivative of z/scale along phi = atan2(sigma, alpha) (Salimans & Ho 2022 for a VP
process, here for any); F is EDM's network output (Karras et al. 2022, table 1), with z/alpha for
its noisy image. There is no canonical kind: in float32 x0 -> eps loses digits near the data and
eps -> x0 near the noise, while v and F are good at both ends.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.families import unknown
from scoresde.processes import NoiseLevel

KINDS = ("score", "eps", "x0", "v", "velocity", "F")

INVARIANT_KINDS = ("x0", "eps", "v", "F")
"""Kinds whose value depends on the process through log_snr alone."""


def check_kind(kind: str) -> str:
    if kind not in KINDS:
        raise OptionError(unknown("kind of prediction", kind, list(KINDS)))
    return kind


def row(kind: str, level: NoiseLevel, sigma_data: float = 1.0):
    """(p, q) of a kind at a level, as floats or broadcastable tensors."""
    alpha, sigma = level.alpha, level.sigma
    if kind == "x0":
        return 1.0, 0.0
    if kind == "eps":
        return 0.0, 1.0
    if kind == "score":
        return 0.0, -1.0 / sigma
    if kind == "v":
        return -sigma / level.scale, alpha / level.scale
    if kind == "velocity":
        if not isinstance(level.alpha_rate, Tensor) and math.isnan(level.alpha_rate):
            raise OptionError(
                f"the level alpha = {alpha}, sigma = {sigma} belongs to no process, so it has no "
                "velocity; ask for v"
            )
        return level.alpha_rate, level.sigma_rate
    if kind == "F":
        scale = (sigma * sigma + alpha * alpha * sigma_data * sigma_data) ** 0.5
        return sigma / (sigma_data * scale), -alpha * sigma_data / scale
    raise OptionError(unknown("kind of prediction", kind, list(KINDS)))


def coefficients(level: NoiseLevel, source: str, target: str, sigma_data: float = 1.0):
    """(c_z, c_a) with target = c_z z + c_a source. Raises `OptionError` where the map is singular:
    eps or score at alpha = 0, x0 at sigma = 0, the velocity of a level that has no rates."""
    if source == target:
        return 0.0, 1.0
    alpha, sigma = level.alpha, level.sigma
    try:
        p_a, q_a = row(source, level, sigma_data)
        p_b, q_b = row(target, level, sigma_data)
        if {source, target} == {"eps", "score"}:  # proportional, at alpha = 0 too
            return 0.0, q_b / q_a
        det = alpha * q_a - sigma * p_a
        c_z, c_a = (p_b * q_a - q_b * p_a) / det, (alpha * q_b - sigma * p_b) / det
    except ZeroDivisionError:
        c_z = c_a = math.nan
    if any(not isinstance(c, Tensor) and not math.isfinite(c) for c in (c_z, c_a)):
        raise OptionError(
            f"{source} does not determine {target} at alpha = {alpha}, sigma = {sigma}; "
            "start the grid at a smaller noise level (log_snr_min), end it before the data "
            "(final='min') or use a model of kind v or F"
        )
    return c_z, c_a


def convert(
    out: Tensor, z: Tensor, level: NoiseLevel, source: str, target: str, sigma_data: float = 1.0
) -> Tensor:
    """A prediction of one kind as another, for states z (batch, *event) at their level."""
    if source == target:
        return out
    c_z, c_a = coefficients(level, source, target, sigma_data)
    if isinstance(c_a, Tensor) or isinstance(c_z, Tensor):
        return c_z * z + c_a * out
    if c_z == 0.0:
        return out * c_a
    return torch.add(out * c_a, z, alpha=c_z)
