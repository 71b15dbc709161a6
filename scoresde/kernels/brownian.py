r"""Brownian paths as a function of the sample's id: increments that no step count changes.

A path W on a declared clock [0, 1] is fixed by a seed and a sample id. Its value at u is found by
descent of the dyadic tree (Lévy's construction): at the midpoint m of [l, r],

    W(m) = (W(l) + W(r))/2 + sqrt(r - l)/2 n(node),

with one normal a node; below the finest dyadic interval one more bridge normal, keyed by that
interval, places u itself:  W(u) = W(l) + (u - l)/(r - l) (W(r) - W(l)) + sqrt((u - l)(r - u)/(r -
l)) n(leaf). Two queries in different finest intervals (of width 2^-DEPTH) therefore have exactly
the joint law of a Brownian path; queries within one interval share its bridge normal. (Virtual
Brownian tree: Li et al. 2020; bridge at the leaf: Jelinčič, Foster & Kidger 2024.)

Counter layout: the `step` word holds the node, numbered as in a heap: 0 is W(1), 1 the first
midpoint, the children of k are 2k and 2k + 1, the leaves start at 2^DEPTH.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoresde.errors import OptionError
from scoresde.kernels.noise import Purpose, normal

DEPTH = 20


def _value(seed: int, ids: Tensor, shape: tuple[int, ...], u: float) -> Tensor:
    """W(u) for every id, float64, (len(ids), *shape)."""

    def draw(node: int) -> Tensor:
        return normal(seed, Purpose.PATH, node, ids, shape)

    left, right = 0.0, 1.0
    w_left = torch.zeros(len(ids), *shape, dtype=torch.float64, device=ids.device)
    if u == 0.0:
        return w_left
    w_right = draw(0)
    node = 1
    for _ in range(DEPTH):
        if u == right:
            return w_right
        middle = 0.5 * (left + right)
        w_middle = 0.5 * (w_left + w_right) + 0.5 * math.sqrt(right - left) * draw(node)
        if u < middle:
            right, w_right, node = middle, w_middle, 2 * node
        else:
            left, w_left, node = middle, w_middle, 2 * node + 1
            if u == left:
                return w_left
    if u == right:
        return w_right
    place = (u - left) / (right - left)
    spread = math.sqrt((u - left) * (right - u) / (right - left))
    return w_left + place * (w_right - w_left) + spread * draw(node)


def increment(seed: int, ids: Tensor, shape: tuple[int, ...], u0: float, u1: float) -> Tensor:
    """W(u1) - W(u0) on the clock [0, 1], float64, (len(ids), *shape).

    Its variance is u1 - u0 where the two lie in different finest intervals (2^-20 wide) or at
    dyadic points; a step of that size is below what the path resolves. Increments over adjoining
    intervals add up to the increment over their union (to rounding), so a path does not depend on
    how it is cut into steps. Raises `OptionError` unless 0 <= u0 <= u1 <= 1.
    """
    if not 0.0 <= u0 <= u1 <= 1.0:
        raise OptionError(f"a Brownian increment needs 0 <= u0 <= u1 <= 1, got {u0} and {u1}")
    return _value(seed, ids, shape, u1) - _value(seed, ids, shape, u0)
