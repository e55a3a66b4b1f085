"""From bytes to pixels: the one way an image is opened, and the one way it is prepared."""

from foodvision.images.decode import MAX_PIXELS, SUFFIXES, open_image
from foodvision.images.preprocess import ImageSpec, TrainingTransform

__all__ = ["MAX_PIXELS", "SUFFIXES", "ImageSpec", "TrainingTransform", "open_image"]
