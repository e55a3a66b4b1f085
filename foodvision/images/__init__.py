"""From bytes to pixels: the one way an image is opened, and the one description of an input.

The operations on tensors are in `images.transforms` and `images.augment`, which need torch.
"""

from foodvision.images.decode import SUFFIXES, open_image
from foodvision.images.spec import ImageSpec

__all__ = ["SUFFIXES", "ImageSpec", "open_image"]
