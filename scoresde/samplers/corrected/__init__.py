"""Samplers that correct their states at a level, by Langevin steps or by going back up."""

from scoresde.samplers.corrected.annealed_langevin import AnnealedLangevin

MEMBERS = {"annealed-langevin": AnnealedLangevin}

__all__ = ["MEMBERS", "AnnealedLangevin"]
