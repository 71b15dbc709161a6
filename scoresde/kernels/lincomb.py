"""Sum of scaled tensors: the arithmetic of every sampler step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def lincomb(coefficients: Sequence[float | Tensor], tensors: Sequence[Tensor]) -> Tensor:
    r"""out = sum_i c_i x_i, a new tensor of the tensors' common shape and dtype.

    A coefficient is a float (float64 on the host) or a tensor that broadcasts against x_i: per
    sample ``(batch, 1, ..., 1)`` or elementwise. The sum is taken from left to right, so the
    result does not depend on which body computes it.
    """
    dtype = tensors[0].dtype
    coefficients = [c.to(dtype) if isinstance(c, Tensor) else c for c in coefficients]
    first, *others = zip(coefficients, tensors, strict=True)
    out = first[1] * first[0]
    for c, x in others:
        if isinstance(c, Tensor):
            out.addcmul_(x, c)
        else:
            torch.add(out, x, alpha=c, out=out)
    return out
