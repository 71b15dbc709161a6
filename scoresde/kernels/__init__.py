"""The arithmetic that everything else goes through: linear combinations and noise.

Each kernel is one public function; faster bodies come behind it without a change elsewhere.
"""

from scoresde.kernels.brownian import increment
from scoresde.kernels.lincomb import lincomb
from scoresde.kernels.noise import Noise, Purpose, normal, uniform
from scoresde.kernels.philox import philox

__all__ = ["Noise", "Purpose", "increment", "lincomb", "normal", "philox", "uniform"]
