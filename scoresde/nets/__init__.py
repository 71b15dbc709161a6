"""Networks: functions of an array and one number a sample; they know nothing of diffusion.

A net is an `nn.Module` made as `Net(event_shape, *, options...)` and called as
`net(x, noise, given=None)`, with x (B, *event) of about unit variance and noise (B,) within about
[-3, 3]; it returns (B, *event) in x's dtype, zeros before the first step of training. `given`
holds class labels (B,) or vectors (B, features) if the net was made with `classes` or `features`;
-1, NaN and None stand for what is not given. A classifier is called `net(x, noise)` and returns
logits (B, classes). A sample's output never depends on its batch-mates.
"""

from scoresde.families import Family
from scoresde.nets.classifier import MLPClassifier, UNetClassifier
from scoresde.nets.dit import DiT
from scoresde.nets.embedding import Embedding, Given
from scoresde.nets.mlp import MLP
from scoresde.nets.unet import UNet

NETS = Family("net", {"mlp": MLP, "unet": UNet, "dit": DiT})
CLASSIFIERS = Family("classifier", {"mlp": MLPClassifier, "unet": UNetClassifier})

__all__ = [
    "CLASSIFIERS",
    "MLP",
    "NETS",
    "DiT",
    "Embedding",
    "Given",
    "MLPClassifier",
    "UNet",
    "UNetClassifier",
]
