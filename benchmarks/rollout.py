"""Does attention rollout point at the food? Drawings whose food is known, pixel by pixel.

    foodvision train drawn --recipe demo --out runs/drawn
    python benchmarks/rollout.py runs/drawn

The mask of a drawing is what serving the food changed on the table. Prints the mean rollout inside
the mask divided by the mean outside, for the model and for the same network with initial weights.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from foodvision import drawings, explain
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.drawings import draw, scene
from foodvision.images.transforms import view
from foodvision.models.network import build_network

DRAWINGS = 100


def draw_with_mask(label: str, seed: int) -> tuple[object, np.ndarray]:
    """The drawing, and which of its 96 × 96 pixels show the food."""
    masks = []
    serve = draw._SERVE[label]

    def watched(table: scene.Scene, at: scene.Point, size: float) -> None:
        before = table.pixels.copy()
        serve(table, at, size)
        masks.append((table.pixels != before).any(axis=2))

    draw._SERVE[label] = watched
    try:
        return draw.draw_image(label, seed), masks[0]
    finally:
        draw._SERVE[label] = serve


def mean_ratio(classifier: TorchClassifier) -> tuple[float, float, float]:
    """Mean rollout inside and outside the masks, and the mean share of the masks."""
    inside, outside, shares = [], [], []
    for i in range(DRAWINGS):
        label = drawings.CLASSES[i % len(drawings.CLASSES)]
        image, mask = draw_with_mask(label, draw.SEEDS["test"][i])
        pixels = torch.from_numpy(mask.astype(np.uint8) * 255).expand(3, -1, -1)
        seen = view(pixels, classifier.spec)[0].numpy() > 127
        rollout = explain(classifier, image).map
        rollout = rollout / rollout.sum()  # every drawing counts the same
        inside.append(rollout[seen].mean())
        outside.append(rollout[~seen].mean())
        shares.append(seen.mean())
    return float(np.mean(inside)), float(np.mean(outside)), float(np.mean(shares))


def main() -> None:
    trained = TorchClassifier.load(sys.argv[1], "cpu")
    torch.manual_seed(0)
    initial = build_network(trained.network.config)
    untrained = TorchClassifier(initial, trained.spec, trained.classes)
    ratios = {}
    for name, classifier in (("trained", trained), ("untrained", untrained)):
        inside, outside, share = mean_ratio(classifier)
        ratios[name] = inside / outside
        print(f"{name}: inside / outside = {ratios[name]:.2f}")
    print(f"trained / untrained = {ratios['trained'] / ratios['untrained']:.2f}")
    print(f"n = {DRAWINGS} drawings; the food covers {share:.0%} of what the network sees")


if __name__ == "__main__":
    main()
