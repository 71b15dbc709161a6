"""Linear multistep methods on the probability flow."""

from scoresde.samplers.multistep.ipndm import IPNDM
from scoresde.samplers.multistep.lms import LMS

MEMBERS = {"lms": LMS, "ipndm": IPNDM}

__all__ = ["IPNDM", "LMS", "MEMBERS"]
