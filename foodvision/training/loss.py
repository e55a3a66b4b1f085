"""What training minimises: cross-entropy with labels, or with a teacher's answers as well.

Targets are soft, because images may be mixed, and classes may be weighted.
"""

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


def training_loss(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    recipe: Recipe,
    answers: Tensor | None = None,
) -> Tensor:
    """The loss of a batch: (1 − λ) · the labels' + λ · the teacher's, λ = teacher_weight.

    Args:
        logits: (B, K).
        targets: (B, K), rows that sum to 1.
        weights: (K,), see `class_weights`.
        recipe: label_smoothing, and the weight and temperature of the teacher.
        answers: the teacher's logits (B, K); None without a teacher.

    """
    loss = weighted_cross_entropy(logits, targets, weights, recipe.label_smoothing)
    if answers is None or recipe.teacher_weight is None or recipe.teacher_temperature is None:
        return loss
    # The network learns logits that are shifted by log w_c, so it is taught these.
    taught = distillation_loss(logits, answers + weights.log(), recipe.teacher_temperature)
    return torch.lerp(loss, taught, recipe.teacher_weight)


def distillation_loss(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    """τ² KL(softmax(z_t / τ) ‖ softmax(z_s / τ)), the mean over the batch (arXiv 1503.02531).

    τ² keeps the size of its gradient (section 2). The soft distillation of DeiT (arXiv 2012.12877,
    Eq. 2) is this with τ = 3 and a weight of 0.1; consistent teaching (arXiv 2106.05237) is this
    alone. DeiT's distillation token is left out: the paper's network has one head.

    Args:
        logits: z_s of the network that learns, (B, K).
        answers: z_t of its teacher, (B, K); they get no gradient.
        temperature: τ.

    """
    student, teacher = (F.log_softmax(z / temperature, dim=1) for z in (logits, answers.detach()))
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


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
