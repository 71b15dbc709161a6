"""Networks: functions of an array and one number a sample; they know nothing of diffusion.

A net is an `nn.Module` made as `Net(event_shape, *, options...)` and called as
`net(x, condition)`, with x (B, *event) of about unit variance and condition (B,) within about
[-3, 3]; it returns (B, *event) in x's dtype, zeros before the first step of training. A sample's
output never depends on its batch-mates.
"""

from scoresde.families import Family
from scoresde.nets.embedding import Embedding
from scoresde.nets.mlp import MLP
from scoresde.nets.unet import UNet

NETS = Family("net", {"mlp": MLP, "unet": UNet})

__all__ = ["MLP", "NETS", "Embedding", "UNet"]
