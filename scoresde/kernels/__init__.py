"""The arithmetic that everything else goes through: linear combinations and noise.

Each kernel is one public function; faster bodies come behind it without a change elsewhere.
"""

from scoresde.kernels.brownian import increment
from scoresde.kernels.brownian_noise import BrownianNoise
from scoresde.kernels.lincomb import lincomb
from scoresde.kernels.noise import Key, Noise, Purpose, normal, uniform
from scoresde.kernels.philox import philox

__all__ = [
    "BrownianNoise",
    "Key",
    "Noise",
    "Purpose",
    "increment",
    "lincomb",
    "normal",
    "philox",
    "uniform",
]
