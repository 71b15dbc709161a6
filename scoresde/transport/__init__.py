"""Data carried to noise and back: encoding, interpolation, forward paths."""

from scoresde.jobs import Job, into_dump
from scoresde.transport.encoding import Decoding, Encoding
from scoresde.transport.flow import DDIMInversion, FlowInversion, decode, encode, inverse_of
from scoresde.transport.interpolation import Interpolation, Ways, arc, line
from scoresde.transport.job import Call
from scoresde.transport.origin import Origin, from_dump, from_noise, origin_of
from scoresde.transport.perturbation import Perturbation, paths

__all__ = [
    "Call",
    "DDIMInversion",
    "Decoding",
    "Encoding",
    "FlowInversion",
    "Interpolation",
    "Job",
    "Origin",
    "Perturbation",
    "Ways",
    "arc",
    "decode",
    "encode",
    "from_dump",
    "from_noise",
    "into_dump",
    "inverse_of",
    "line",
    "origin_of",
    "paths",
]
