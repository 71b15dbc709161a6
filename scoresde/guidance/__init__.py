"""Guidance: score models made of score models, towards a class or away from a worse model."""

from scoresde.families import Family
from scoresde.guidance.autoguidance import Autoguidance
from scoresde.guidance.classifier import ClassifierGuidance
from scoresde.guidance.classifier_free import ClassifierFree
from scoresde.guidance.extrapolation import Extrapolation
from scoresde.guidance.guided import Guided, cost
from scoresde.guidance.interval import Interval
from scoresde.guidance.labels import Labels, Vector
from scoresde.guidance.threshold import DynamicThreshold, StaticThreshold, Threshold

GUIDANCE = Family(
    "guidance",
    {
        "classifier-free": ClassifierFree,
        "classifier": ClassifierGuidance,
        "autoguidance": Autoguidance,
    },
)
THRESHOLDS = Family("threshold", {"static": StaticThreshold, "dynamic": DynamicThreshold})

__all__ = [
    "GUIDANCE",
    "THRESHOLDS",
    "Autoguidance",
    "ClassifierFree",
    "ClassifierGuidance",
    "DynamicThreshold",
    "Extrapolation",
    "Guided",
    "Interval",
    "Labels",
    "StaticThreshold",
    "Threshold",
    "Vector",
    "cost",
]
