"""Data into a dump of latents, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from scoresde.checkpointed import Source
from scoresde.data import Scaling
from scoresde.transport.flow import certain, decode, encode, inverse_of, rms
from scoresde.transport.job import Call, Carried, check_level
from scoresde.transport.origin import DATA, LATENT, Origin


class Encoding(Carried):
    """Data to latents, and back again for the error of the round trip.

    Facts of every row: `roundtrip_rms`, per element in the data's units; `latent_rms`, the root
    mean square of the latent's elements, 1 on average where the model is right; `nfe_decode`, the
    evaluations of the way back. `nfe` counts those of the way up.
    """

    def __init__(self, source: Source, call: Call, origin: Origin, guide: Source | None = None):
        super().__init__(source, call, origin, guide)
        inverse_of(self.sampler)

    def rows(self, ids: Tensor) -> dict[str, np.ndarray]:
        scaling, device = self.source.scaling, self.call.device
        raw = self.origin.read(ids).to(torch.float64)
        x = scaling.apply(raw).to(device=device, dtype=self.dtype)
        model, labels = self.bound(ids)
        way = (model, self.sampler, self.levels)
        up = encode(*way, x, ids=ids.to(device), trajectory=self.call.trajectory)
        back = decode(*way, up.x, ids=ids.to(device))
        facts = {
            "roundtrip_rms": rms(scaling.undo(back.x) - scaling.undo(x)),
            "latent_rms": rms(up.x),
            "nfe_decode": back.nfe,
        }
        return self.columns({"samples": up.x, "nfe": up.nfe, **facts}, labels, up.trajectory)

    def layout(self) -> dict:
        facts = {"roundtrip_rms": "float64", "latent_rms": "float64", "nfe_decode": "int64"}
        return {**super().layout(), "facts": facts}

    def attributes(self) -> dict:
        both = super().attributes()
        both["identity"] |= {
            "space": LATENT,
            "start": f"latents of {self.origin.start}",
            "data_start": self.origin.start,
            "scaling": Scaling().to_dict(),
        }
        return both


class Decoding(Carried):
    """Latents to data; `recorded` are the attributes of the dump that holds the latents.

    The result pairs with the data that were encoded: row i is the reconstruction of datum i.
    """

    def __init__(
        self,
        source: Source,
        call: Call,
        origin: Origin,
        recorded: Mapping[str, object],
        guide: Source | None = None,
    ):
        super().__init__(source, call, origin, guide)
        certain(self.sampler)
        check_level(self.levels[0], recorded, origin.name)
        self.data_start = str(recorded.get("data_start", origin.start))

    def rows(self, ids: Tensor) -> dict[str, np.ndarray]:
        device = self.call.device
        latents = self.origin.read(ids).to(device=device)
        model, labels = self.bound(ids)
        down = decode(
            model, self.sampler, self.levels, latents,
            ids=ids.to(device), dtype=self.dtype, trajectory=self.call.trajectory,
        )  # fmt: skip
        samples = self.source.scaling.undo(down.x)
        return self.columns({"samples": samples, "nfe": down.nfe}, labels, down.trajectory)

    def attributes(self) -> dict:
        both = super().attributes()
        both["identity"] |= {
            "space": DATA,
            "start": self.data_start,
            "scaling": self.source.scaling.to_dict(),
        }
        return both
