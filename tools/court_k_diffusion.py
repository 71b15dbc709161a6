"""k-diffusion's samplers before the court.

k-diffusion is installed apart and is no dependency; only its file of samplers is imported, with
stand-ins for the picture libraries that the package asks for beside it.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types
from unittest import mock

import torch

from scoresde.verify import ThirdParty


def sampling():
    """k_diffusion.sampling, without the rest of the package."""
    if "k_diffusion" not in sys.modules:
        spec = importlib.machinery.PathFinder.find_spec("k_diffusion")
        if spec is None:
            raise ImportError("k-diffusion is not installed")
        package = types.ModuleType("k_diffusion")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["k_diffusion"] = package
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
            sys.modules.setdefault(name, mock.MagicMock())
    from k_diffusion import sampling as module

    return module


class Function(ThirdParty):
    """A function sample_*(model, x, sigmas, ...) of k_diffusion.sampling."""

    def __init__(self, name: str, **options):
        self.function = getattr(sampling(), name)
        self.options = options

    def declare(self, **claims) -> Function:
        """The same function with what it claims to be: order, weak_order, evaluations, ..."""
        for name, value in claims.items():
            setattr(self, name, value)
        return self

    def prepare(self, sigmas):
        return torch.tensor(sigmas, dtype=torch.float64)

    def solve(self, sigmas, denoise, y, normals):
        options = dict(self.options)
        if self.stochastic:
            options["noise_sampler"] = lambda sigma, sigma_next: normals()

        def model(x, sigma, **extra):
            return denoise(x, sigma)

        return self.function(model, y, sigmas.to(y.dtype), disable=True, **options)


def claims() -> dict[str, ThirdParty]:
    """The samplers under the orders that their papers name."""
    found: dict[str, ThirdParty] = {}

    def put(name: str, options: dict | None = None, **claims):
        text = ", ".join(f"{k}={v}" for k, v in (options or {}).items())
        found[f"{name}({text})" if text else name] = Function(name, **options or {}).declare(
            **claims
        )

    put("sample_euler", order=1, order_cold=1)
    put("sample_heun", order=2, order_cold=2, evaluations=2)
    put("sample_dpm_2", order=2, order_cold=2, evaluations=2)
    for order in (1, 2, 3, 4):
        put("sample_lms", {"order": order}, order=order, order_cold=min(order, 2))
    put("sample_dpmpp_2m", order=2, order_cold=2)
    put("sample_dpmpp_2s_ancestral", {"eta": 0.0}, order=2, order_cold=2, evaluations=2)
    noisy = {"stochastic": True}
    put("sample_euler_ancestral", weak_order=1, **noisy)
    put("sample_dpm_2_ancestral", weak_order=2, evaluations=2, **noisy)
    put("sample_dpmpp_2s_ancestral", weak_order=2, evaluations=2, **noisy)
    put("sample_dpmpp_sde", weak_order=1, evaluations=2, **noisy)
    put("sample_dpmpp_2m_sde", weak_order=2, **noisy)
    put("sample_dpmpp_2m_sde", {"solver_type": "heun"}, weak_order=2, **noisy)
    put("sample_dpmpp_3m_sde", weak_order=2, **noisy)
    return found
