"""Drawn pizza, steak and sushi: the dataset that needs no download."""

from foodvision.drawings.draw import CLASSES, NAME, draw_image, write_drawn

__all__ = ["CLASSES", "NAME", "draw_image", "write_drawn"]
