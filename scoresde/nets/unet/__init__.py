"""The U-Net, and the way down that it shares with the classifier of images."""

from scoresde.nets.unet.block import Style
from scoresde.nets.unet.net import UNet
from scoresde.nets.unet.pyramid import Pyramid

__all__ = ["Pyramid", "Style", "UNet"]
