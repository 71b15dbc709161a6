r"""Unconstrained coordinates of a mixture, and the gradient of its log-likelihood in them.

    w = softmax(logits),   mu_k = mu_k0 + F_k z_k,   variances = floor + exp(v) (both diagonal),
    Sigma_k = floor I + (F_k L_k)(F_k L_k)^T, L lower triangular with logarithms on its diagonal
    (full, tied),   Sigma_k = (F_k W_k)(F_k W_k)^T + (floor + exp(v_k)) I  (low-rank).

F_k is the start's Cholesky factor, or its standard deviations, so that a step means the same in
every unit and along every axis. The gradient needs the statistics of one pass alone, for by
grad log p = sum_k P(k|x) grad log(w_k N_k)

    d/d mu_k = P_k sums_k,   d/d Sigma_k = (P_k S_k P_k - n_k P_k)/2,   d/d logits = n - N w

with P the precision and S the squares about mu_k.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoresde.densities import GaussianMixture
from scoresde.densities.base import as_float64
from scoresde.estimators.mixture.estimate import lifted
from scoresde.estimators.mixture.statistics import Statistics

LEAST = 1e-3  # a start's variance lies at least this share of the floor above it
Point = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Coordinates:
    """Of mixtures like `start`; `frames` F are (K, 1), (K, d), (K, d, d) or, tied, (d, d).

    `origin` is the start's own point. There a variance at the floor has been lifted above it by
    the share `LEAST`.
    """

    start: GaussianMixture
    floor: float
    frames: Tensor
    origin: Point

    @classmethod
    def around(cls, start: GaussianMixture, floor: float) -> Coordinates:
        given, means = start.arguments(), start.means
        least = (1.0 + LEAST) * floor

        def tensor(name: str, ndim) -> Tensor:
            return as_float64(name, given[name], ndim).to(means.device)

        origin = {
            "logits": start.weights.clamp(min=1e-300).log(),
            "means": torch.zeros_like(means),
        }
        if start.structure == "low-rank":
            factors, v = tensor("factors", 3), tensor("variances", 1).clamp(min=least)
            whole = factors @ factors.mT + v[:, None, None] * _eye(means)
            frames = torch.linalg.cholesky(whole)
            origin["factors"] = torch.linalg.solve_triangular(frames, factors, upper=False)
            origin["logs"] = (v - floor).log()
        elif start.structure in ("spherical", "diagonal"):
            c = tensor("covariances", (1, 2)).clamp(min=least)
            frames = c.sqrt().reshape(len(means), -1)
            origin["logs"] = (c - floor).log()
        else:
            c = lifted(tensor("covariances", (2, 3)), start.structure, least)
            frames = torch.linalg.cholesky(c - floor * _eye(means))
            origin["roots"] = torch.zeros_like(frames)
        return cls(start=start, floor=floor, frames=frames, origin=origin)

    def _apply(self, matrices: Tensor, vectors: Tensor) -> Tensor:
        """A_k v_k of vectors (K, d); A (K, 1) or (K, d) is the diagonal, (d, d) is all A_k."""
        if self.start.structure in ("spherical", "diagonal"):
            return matrices * vectors
        return (matrices @ vectors[:, :, None])[:, :, 0]

    def mixture(self, point: Point) -> GaussianMixture:
        means = self.start.means
        parameters = {"weights": point["logits"].softmax(0)}
        parameters["means"] = means + self._apply(self.frames, point["means"])
        if "roots" in point:
            root = self.frames @ _root(point["roots"])
            parameters["covariances"] = root @ root.mT + self.floor * _eye(means)
        elif "factors" in point:
            parameters["factors"] = self.frames @ point["factors"]
            parameters["variances"] = self.floor + point["logs"].exp()
        else:
            parameters["covariances"] = self.floor + point["logs"].exp()
        structure = self.start.structure
        return GaussianMixture(**{**self.start.arguments(), "structure": structure, **parameters})

    def gradient(self, mixture: GaussianMixture, point: Point, statistics: Statistics) -> Point:
        """Of the log-likelihood per datum at the point's mixture, whose means are the centres."""
        n, sums, squares = statistics.counts, statistics.sums, statistics.squares
        made, d = mixture.arguments(), mixture.means.shape[1]
        out = {"logits": n - n.sum() * mixture.weights}
        if "logs" in point:
            above = point["logs"].exp()
        if "roots" in point:
            precisions = torch.linalg.inv(made["covariances"])
            count = n.sum() if precisions.ndim == 2 else n
            by_matrix = _by_matrix(precisions, squares, count)
            root = _root(point["roots"])
            by_root = 2.0 * (self.frames.mT @ by_matrix @ self.frames @ root).tril()
            scaled = (by_root * root).diagonal(dim1=-2, dim2=-1)  # of the logarithms
            out["roots"] = by_root.tril(-1) + torch.diag_embed(scaled)
        elif "factors" in point:
            spread = made["variances"][:, None, None] * _eye(mixture.means)
            precisions = torch.linalg.inv(made["factors"] @ made["factors"].mT + spread)
            by_matrix = _by_matrix(precisions, squares, n)
            out["factors"] = 2.0 * self.frames.mT @ (by_matrix @ made["factors"])
            out["logs"] = by_matrix.diagonal(dim1=-2, dim2=-1).sum(-1) * above
        else:
            v = self.floor + above
            precisions = 1.0 / v.reshape(len(n), -1)
            count = n[:, None] if v.ndim == 2 else n * d
            out["logs"] = 0.5 * (squares / v - count) / v * above
        matrices = "roots" in point or "factors" in point
        back = self.frames.mT if matrices else self.frames
        out["means"] = self._apply(back, self._apply(precisions, sums))
        return {name: out[name] / statistics.rows for name in point}


def _eye(means: Tensor) -> Tensor:
    return torch.eye(means.shape[1], dtype=means.dtype, device=means.device)


def _root(logged: Tensor) -> Tensor:
    """Lower triangular, the logarithms on the diagonal undone."""
    return logged.tril(-1) + torch.diag_embed(logged.diagonal(dim1=-2, dim2=-1).exp())


def _by_matrix(precisions: Tensor, squares: Tensor, n: Tensor) -> Tensor:
    return 0.5 * (precisions @ squares @ precisions - n[..., None, None] * precisions)
