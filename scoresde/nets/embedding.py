"""What a net is told beside x: the noise, and a label or vector where the net is conditional."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from scoresde.errors import OptionError
from scoresde.nets import options


class Embedding(nn.Module):
    r"""c -> W2 silu(W1 [cos(f_k c), sin(f_k c)]), f_k geometric from 1/4 to 16.

    The sinusoidal embedding (Vaswani et al. 2017, section 3.5) with frequencies for |c| <= 3: the
    lowest is monotone over that range, the highest turns about every 0.4. Fixed, not random, so
    that a checkpoint needs only the weights.

    c (B,) -> (B, width), in c's dtype.
    """

    def __init__(self, width: int, frequencies: int = 16):
        super().__init__()
        ladder = torch.linspace(math.log(0.25), math.log(16.0), frequencies, dtype=torch.float64)
        self.register_buffer("frequencies", ladder.exp().to(torch.float32), persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(2 * frequencies, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, noise: Tensor) -> Tensor:  # (B,)
        angle = noise[:, None] * self.frequencies.to(noise.dtype)
        return self.layers(torch.cat([angle.cos(), angle.sin()], dim=1))


class Given(nn.Module):
    r"""A class label or a vector, mapped to (B, width); what is not given has a row of its own.

    classes: a table of classes + 1 rows, the last for the label -1 (Ho & Salimans 2022, null
    class). features: W2 silu(W1 c), and a learned vector for rows that hold a NaN. `given` None
    is the same as -1 or NaN in every row. A vector counts as standardised: of unit variance.

    Args:
        width: of the embedding.
        classes: number of labels, 0 for none.
        features: length of the vectors, 0 for none.
    Raises:
        OptionError: both classes and features, or neither; and, when called, a label out of
            range, an infinite feature, a wrong dtype, shape or length. On an accelerator ranges
            are not looked at, since that would wait for the device: there a label out of range
            ends in the device's own assertion.
    """

    def __init__(self, width: int, classes: int = 0, features: int = 0):
        super().__init__()
        self.classes = options.at_least("classes", classes, 0)
        self.features = options.at_least("features", features, 0)
        if bool(classes) == bool(features):
            raise OptionError(
                "a net is given classes or features, not both; "
                f"got classes {classes}, features {features}"
            )
        if classes:
            self.table = nn.Embedding(classes + 1, width)
        else:
            self.null = nn.Parameter(torch.randn(width) / math.sqrt(width))
            self.layers = nn.Sequential(
                nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width)
            )

    def forward(self, given: Tensor | None, batch: int) -> Tensor:  # (B,) | (B, features) | None
        if given is None:
            null = self.table.weight[-1] if self.classes else self.null
            return null.expand(batch, -1)
        self._check(given, batch)
        if self.classes:
            return self.table(torch.where(given == -1, self.classes, given.long()))
        absent = given.isnan().any(dim=1, keepdim=True)
        values = torch.where(absent, 0.0, given).to(self.null.dtype)
        return torch.where(absent, self.null, self.layers(values))

    def _check(self, given: Tensor, batch: int) -> None:
        kind = "labels (whole numbers)" if self.classes else "vectors (floating point)"
        if not isinstance(given, Tensor):
            raise OptionError(f"this net is given {kind} as a tensor, got {given!r}")
        whole = not (given.is_floating_point() or given.is_complex() or given.dtype == torch.bool)
        if given.is_complex() or whole != bool(self.classes):
            raise OptionError(f"this net is given {kind}, got {given.dtype}")
        shape = (batch,) if self.classes else (batch, self.features)
        if tuple(given.shape) != shape:
            raise OptionError(
                f"{kind} for {batch} samples have the shape {shape}, got {tuple(given.shape)}"
            )
        if given.device.type != "cpu" or not given.numel():
            return
        if self.classes:
            low, high = (int(v) for v in given.aminmax())
            if low < -1 or high >= self.classes:
                wrong = low if low < -1 else high
                raise OptionError(
                    f"labels lie in 0 to {self.classes - 1}, or are -1 for none given; got {wrong}"
                )
        elif given.isinf().any():
            raise OptionError("features are finite, or NaN for a row that is not given; got inf")


class Conditions(nn.Module):
    """silu(embedding(noise) + given), the vector that every block of a net is told.

    noise (B,), given as in `Given` -> (B, width) in the given dtype. Raises `OptionError` where
    a net without classes or features is given something.
    """

    def __init__(self, width: int, classes: int = 0, features: int = 0):
        super().__init__()
        self.noise = Embedding(width)
        self.given = Given(width, classes, features) if classes or features else None

    def forward(self, noise: Tensor, given: Tensor | None, dtype: torch.dtype) -> Tensor:
        embedded = self.noise(noise.to(dtype))
        if self.given is not None:
            embedded = embedded + self.given(given, len(noise))
        elif given is not None:
            raise OptionError(
                "this net is not conditional; make it with classes or features to give it any"
            )
        return nn.functional.silu(embedded)


def zeroed(layer: nn.Module) -> nn.Module:
    """The layer with every parameter at zero: its branch starts as nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
