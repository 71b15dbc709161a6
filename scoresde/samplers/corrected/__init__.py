"""Samplers that correct their states at a level, by Langevin steps or by going back up."""

from scoresde.samplers.corrected.annealed_langevin import AnnealedLangevin
from scoresde.samplers.corrected.predictor_corrector import PredictorCorrector
from scoresde.samplers.corrected.restart import Restart

MEMBERS = {
    "annealed-langevin": AnnealedLangevin,
    "predictor-corrector": PredictorCorrector,
    "restart": Restart,
}

__all__ = ["MEMBERS", "AnnealedLangevin", "PredictorCorrector", "Restart"]
