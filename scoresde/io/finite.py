"""Plain data as JSON can hold them."""

from __future__ import annotations

import math


def finite(value):
    """The same plain data with NaN and infinities as the text 'nan', 'inf', '-inf'."""
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
