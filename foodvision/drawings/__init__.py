"""Drawn pizza, steak and sushi: the offline sample."""

from foodvision.drawings.draw import CLASSES, draw_image, write_drawn

__all__ = ["CLASSES", "draw_image", "write_drawn"]
