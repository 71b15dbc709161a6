"""Samplers that choose their own steps, or leave them to an ODE library."""

from scoresde.samplers.adaptive.probability_flow import ProbabilityFlow

MEMBERS = {"probability-flow": ProbabilityFlow}

__all__ = ["MEMBERS", "ProbabilityFlow"]
