"""A dump as its reader returns it, without a file."""

from types import SimpleNamespace

import numpy as np


def dump(samples, *, ids=None, total=None, nfe=10, **attributes):
    """What the reader of a dump returns."""
    n = len(samples)
    return SimpleNamespace(
        samples=samples, sample_id=np.arange(n) if ids is None else ids, nfe=np.full(n, nfe),
        attributes=attributes, rows_total=n if total is None else total,
    )  # fmt: skip
