"""What training minimises: cross-entropy with soft targets, mixed images and weighted classes."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from foodvision.data.dataset import LabelledImages
from foodvision.training.recipe import Recipe


def mixed(
    pixels: Tensor, labels: Tensor, recipe: Recipe, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Mix the images (B, C, H, W) of a batch, or not, as the recipe says.

    Returns:
        Images, and targets (B, K) with the share of each class in each image.

    """
    kinds: list[v2.Transform] = []
    if recipe.mixup:
        kinds.append(v2.MixUp(alpha=recipe.mixup, num_classes=num_classes))
    if recipe.cutmix:
        kinds.append(v2.CutMix(alpha=recipe.cutmix, num_classes=num_classes))
    if kinds and float(torch.rand(())) < recipe.mix_probability:
        return kinds[int(torch.randint(len(kinds), ()))](pixels, labels)
    return pixels, F.one_hot(labels, num_classes).to(pixels.dtype)


def class_weights(train: LabelledImages, recipe: Recipe) -> np.ndarray:
    """The factor of each class in the loss, float32 of shape (K,); their mean over images is 1.

    ``balanced`` is n / (K n_c), scikit-learn's, over the classes that have images. A network
    trained with it answers as if all classes were equally common, p_w(c|x) ∝ w_c p(c|x): subtract
    log w_c from its logits to make log loss honest again.
    """
    counts = np.bincount(train.labels, minlength=len(train.classes))
    if recipe.class_weights == "none":
        return np.ones(len(counts), dtype=np.float32)
    present = counts > 0
    weights = np.ones(len(counts), dtype=np.float32)
    weights[present] = len(train) / (present.sum() * counts[present])
    return weights


def weighted_cross_entropy(
    logits: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float
) -> Tensor:
    """Mean over the batch of the cross-entropy, each class's share of it times w_class.

    Args:
        logits: (B, K).
        targets: (B, K), rows that sum to 1.
        weights: (K,), see `class_weights`.
        label_smoothing: share of each target that is spread over all classes, in 0-1.

    Divided by the number of images and not, as `F.cross_entropy` does, by the batch's sum of
    weights, which would cancel the weights of rare classes in batches that hold many.

    """
    weighted = targets * weights
    spread = weighted.sum(dim=1, keepdim=True) / targets.shape[1]
    smoothed = torch.lerp(weighted, spread.expand_as(weighted), label_smoothing)
    return -(smoothed * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
