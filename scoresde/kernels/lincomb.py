"""Sum of scaled tensors: the arithmetic of every sampler step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

_WIDE = (torch.float32, torch.float64)  # a number is rounded to them as a kernel would round it


def lincomb(coefficients: Sequence[float | Tensor], tensors: Sequence[Tensor]) -> Tensor:
    r"""out = sum_i c_i x_i, a new tensor of the tensors' common shape and dtype.

    A coefficient is a float (float64 on the host) or a tensor that broadcasts against x_i: per
    sample ``(batch, 1, ..., 1)`` or elementwise. The sum is taken from left to right, so the
    result does not depend on which body computes it. Raises `ValueError` for unequal numbers of
    coefficients and tensors, or none.
    """
    terms = len(tensors)
    if len(coefficients) != terms or terms == 0:
        raise ValueError(f"lincomb has {len(coefficients)} coefficients for {terms} tensors")
    c, x = coefficients[0], tensors[0]
    dtype, done = x.dtype, 1
    if type(c) is not float:
        out = x * (c.to(dtype) if isinstance(c, Tensor) else c)
    elif c == 1.0 and terms > 1 and tensors[1].dtype is dtype and type(coefficients[1]) is float:
        out = torch.add(x, tensors[1], alpha=coefficients[1])  # 1 x is x: a pass less
        done = 2
    elif dtype in _WIDE and c != 0.0:
        out = torch.mul(x, _number(c, dtype))
    else:
        out = x * c
    while done < terms:
        c = coefficients[done]
        if type(c) is float or not isinstance(c, Tensor):
            out.add_(tensors[done], alpha=c)
        else:
            out.addcmul_(tensors[done], c.to(dtype))
        done += 1
    return out


@lru_cache(maxsize=4096)
def _number(c: float, dtype: torch.dtype) -> Tensor:
    """c as a tensor of the host without dimensions, which a kernel takes as an argument.

    torch wraps a Python number at every call: 2 us of the 4 us that a small product takes.
    """
    with torch.inference_mode(False):
        return torch.tensor(c, dtype=dtype, device="cpu")
