"""What is predicted of a batch, and against what: the labels of its images, or a teacher's answers.

The loop asks an objective such as this for targets, the loss, and what to validate; `masked` has
the other one, which needs no labels.
"""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from foodvision.training.batches import validation_loader
from foodvision.training.loss import class_weights, mixed, training_loss
from foodvision.training.memory import OpenedImages
from foodvision.training.recipe import Recipe
from foodvision.training.teacher import Teacher


class Labels:
    """The classes of images.

    Attributes:
        classes: names of the classes to predict.

    """

    def __init__(
        self,
        opened: OpenedImages,
        recipe: Recipe,
        accelerator: Accelerator,
        teacher: Teacher | None = None,
    ) -> None:
        """Weigh the classes, and ask the teacher where its answers are the same in every epoch.

        Args:
            opened: images to learn from.
            recipe: of the run.
            accelerator: device and processes.
            teacher: whose answers are learnt too, as the recipe says.

        """
        self.classes, self.recipe = opened.images.classes, recipe
        self.accelerator, device = accelerator, accelerator.device
        self.weights = torch.tensor(class_weights(opened.images, recipe), device=device)
        self.teacher = teacher.to(device) if teacher else None
        self.answers: Tensor | None = None  # of all training images, where no epoch changes them
        # Where nothing changes the images, training sees what validation sees. A stream is not read
        # for that: some of its images may not open.
        if self.teacher and not recipe.changes_images and not opened.images.stream:
            unchanged = validation_loader(opened, recipe)
            self.answers = self.teacher.answers_of_all(unchanged, len(opened), recipe.precision)
            self.teacher = None

    def targets(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The input (B, C, H, W) of a training step, mixed or not, and shares of classes (B, K)."""
        recipe, classes = self.recipe, len(self.classes)
        if self.accelerator.num_processes == 1 or not (recipe.mixup or recipe.cutmix):
            return mixed(pixels, labels, recipe, classes)
        # An image is mixed with the one before it in the batch, which another rank may have.
        ends: Any = self.accelerator.gather((pixels[-1:], labels[-1:]))
        before = self.accelerator.process_index - 1
        pixels, labels = (
            torch.cat((last[before][None], own))
            for last, own in zip(ends, (pixels, labels), strict=True)
        )
        pixels, targets = mixed(pixels, labels, recipe, classes)
        return pixels[1:], targets[1:]

    def loss(
        self, logits: Tensor, targets: Tensor, pixels: Tensor, indices: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The loss of a training step, and its accuracy in 0-1.

        Args:
            logits: the network's answers (B, K).
            targets: (B, K).
            pixels: that the network has seen, (B, C, H, W).
            indices: of the images among all training images, (B,).

        """
        taught = self._taught(pixels, indices)
        loss = training_loss(logits, targets, self.weights, self.recipe, taught)
        hits = self._honest(logits.detach()).argmax(dim=1) == targets.argmax(dim=1)
        return loss, hits.float().mean()

    def scored(self, logits: Tensor, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What validation compares: logits (B, K) and labels (B,)."""
        return self._honest(logits.float()), labels

    def _honest(self, logits: Tensor) -> Tensor:
        """Of a network with class weights, the honest answer is without their shift."""
        return logits - self.weights.log()

    def _taught(self, pixels: Tensor, indices: Tensor) -> Tensor | None:
        """The teacher's logits for the images that the network has just seen."""
        if self.answers is not None:
            return self.answers[indices]
        return self.teacher.answers(pixels, self.recipe.precision) if self.teacher else None
