"""Samplers that claim no order: the law that they leave in place."""

from scoresde.verify.gaussian_law import limit_checks as invariant_checks

__all__ = ["invariant_checks"]
