"""The one training loop, on Accelerate: from a laptop's two cores to many GPUs.

`Training` holds all that changes during a run, and `Training.steps` changes it. The loop knows
nothing of files: it hands control back after every step, and its caller decides what to keep.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torchvision.transforms import v2

from foodvision.backends.device import autocast
from foodvision.data import LabelledImages
from foodvision.errors import FoodvisionError
from foodvision.images import ImageSpec
from foodvision.images.transforms import finish
from foodvision.metrics import Metrics, RunningMetrics
from foodvision.models import Network
from foodvision.progress import progress_bar
from foodvision.training.batches import training_loader, validation_loader
from foodvision.training.optim import build_optimizers, set_learning_rate
from foodvision.training.randomness import STEP, seed_for
from foodvision.training.recipe import Recipe


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images, and the validation after it.

    Attributes:
        epoch: 1 for the first.
        step: optimiser steps so far.
        train_loss: mean cross-entropy, with mixing, smoothing and class weights as the recipe has
            them: not comparable to log loss.
        log_loss: on the validation images.
        accuracy: on the validation images, in 0-1.
        learning_rate: of the epoch's last step.
        seconds: the epoch took, validation included; since the resumption, if it was interrupted.
        images_per_second: training images per second, without validation.

    """

    epoch: int
    step: int
    train_loss: float
    log_loss: float
    accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float

    @property
    def name(self) -> str:
        """Which one it is."""
        return f"epoch {self.epoch}"

    def to_dict(self) -> dict[str, Any]:
        """Plain types: a line of history.jsonl."""
        return asdict(self)


class Training:
    """A run between two of its steps.

    Attributes:
        epoch: epochs that are done.
        batch: batches of the current epoch that are done.
        step: optimiser steps so far.

    """

    def __init__(
        self,
        network: Network,
        train: LabelledImages,
        validation: LabelledImages,
        spec: ImageSpec,
        recipe: Recipe,
        accelerator: Accelerator,
    ) -> None:
        """Get ready for the first step.

        Args:
            network: from float32 images (B, C, H, W) to logits (B, K); trained in place.
            train: images to learn from.
            validation: images to measure on after each epoch.
            spec: how images are prepared.
            recipe: everything else; its precision must be decided (bf16 or float32).
            accelerator: device and processes. Autocast is ours: Accelerate's is fixed for a
                process.

        """
        self.spec, self.recipe, self.accelerator = spec, recipe, accelerator
        self.classes = train.classes
        loader, self.sampler = training_loader(train, spec, recipe, accelerator.num_processes)
        self.model, self.loader, self.validation_loader, *self.optimizers = accelerator.prepare(
            network,
            loader,
            validation_loader(validation, spec, recipe),
            *build_optimizers(network, recipe),
        )
        self.network = accelerator.unwrap_model(self.model)
        self.average = copy.deepcopy(self.network) if recipe.ema_decay else None
        if recipe.compile:
            self.model = torch.compile(self.model)
        self.class_weights = torch.tensor(class_weights(train, recipe), device=accelerator.device)
        self.epoch, self.batch, self.step = 0, 0, 0
        self.losses: list[Tensor] = []

    @property
    def result(self) -> Network:
        """The network that is validated and saved: the averaged one, where there is one."""
        return self.average or self.network

    @property
    def batch_size(self) -> int:
        """Images of one batch on all devices together."""
        return self.recipe.batch_size * self.accelerator.num_processes

    def close(self) -> None:
        """End the worker processes, which a traceback that holds the loaders would keep alive."""
        for loader in (self.loader, self.validation_loader):
            if iterator := getattr(loader, "base_dataloader", loader)._iterator:
                iterator._shutdown_workers()

    def state_dict(self) -> dict[str, Any]:
        """All that the steps to come depend on, as tensors and plain types.

        And the losses of the epoch so far, of the main process alone: no other one writes.
        """
        return {
            "processes": self.accelerator.num_processes,
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "losses": torch.tensor([float(loss) for loss in self.losses]),
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken, bit for bit.

        Raises:
            FoodvisionError: if there are not as many processes as there were.

        """
        if state["processes"] != self.accelerator.num_processes:
            raise FoodvisionError(
                f"this run has {state['processes']} processes, not "
                f"{self.accelerator.num_processes}: go on with as many"
            )
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self.losses = list(state["losses"].to(self.accelerator.device))
        self.network.load_state_dict(state["network"])
        if self.average:
            self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def steps(self) -> Iterator[Epoch | None]:
        """Train until the recipe's last epoch; yields None after a step, and each `Epoch`.

        At every yield `state_dict` is what a new run can continue from.

        Raises:
            FoodvisionError: if the loss is no longer a number.

        """
        steps_per_epoch = math.ceil(len(self.loader) / self.recipe.accumulate)
        steps = self.recipe.epochs * steps_per_epoch
        validated = ""
        with progress_bar() as bar:
            total = self.recipe.epochs * len(self.loader) * self.batch_size
            task = bar.add_task("training", total=total, unit="images", info="")
            while self.epoch < self.recipe.epochs:
                started, first = time.perf_counter(), self.batch
                self.sampler.epoch = self.epoch
                self.sampler.start = self.batch * self.batch_size
                self._train_mode()
                for images, labels in self.loader:
                    rate = set_learning_rate(self.optimizers, self.recipe, self.step, steps)
                    with self.accelerator.accumulate(self.model):
                        loss = self._learn(images, labels)
                    self.batch += 1
                    self.losses.append(loss.detach())
                    if not self.accelerator.sync_gradients:
                        continue
                    self.step += 1
                    if self.step % 5 == 0:  # reading the loss waits for the device
                        bar.update(
                            task,
                            completed=(self.epoch * len(self.loader) + self.batch)
                            * self.batch_size,
                            info=f"epoch {self.epoch + 1}/{self.recipe.epochs} "
                            f"· loss {loss:.3f}{validated}",
                        )
                    if self.batch < len(self.loader):
                        yield None
                trained = time.perf_counter()
                train_loss = self._mean_loss()
                metrics = self._validate()
                validated = f" · validation log loss {metrics.log_loss:.3f}"
                seconds = trained - started
                epoch = Epoch(
                    epoch=self.epoch + 1,
                    step=self.step,
                    train_loss=train_loss,
                    log_loss=metrics.log_loss,
                    accuracy=metrics.accuracy,
                    learning_rate=rate,
                    seconds=time.perf_counter() - started,
                    images_per_second=(self.batch - first) * self.batch_size / seconds,
                )
                self.epoch, self.batch, self.losses = self.epoch + 1, 0, []
                yield epoch

    def _train_mode(self) -> None:
        """Dropout, and batch norms that learn; in what is not trained, neither."""
        self.model.train()
        if self.recipe.trainable == "head":
            for stage in self.network.stages():
                stage.eval()

    def _learn(self, images: Tensor, labels: Tensor) -> Tensor:
        recipe, accelerator = self.recipe, self.accelerator
        # Mixing, dropout and stochastic depth draw from torch's own generators, all seeded here.
        position = (self.epoch, self.batch, accelerator.process_index)
        torch.manual_seed(seed_for(recipe.seed, STEP, *position))
        pixels = finish(images, self.spec) if images.dtype == torch.uint8 else images
        pixels, targets = mixed(pixels, labels, recipe, len(self.classes))
        with autocast(recipe.precision, accelerator.device):
            logits = self.model(pixels)
        loss = weighted_cross_entropy(logits, targets, self.class_weights, recipe.label_smoothing)
        # Accelerate divides by `accumulate`; the last step of an epoch may have fewer batches.
        first = self.batch - self.batch % recipe.accumulate
        batches = min(recipe.accumulate, len(self.loader) - first)
        accelerator.backward(loss * (recipe.accumulate / batches))
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if self.average and accelerator.sync_gradients:
            update_average(self.average, self.network, recipe.ema_decay, self.step)
        return loss

    def _mean_loss(self) -> float:
        mean = float(self.accelerator.reduce(torch.stack(self.losses).mean(), reduction="mean"))
        if not math.isfinite(mean):
            raise FoodvisionError(
                f"epoch {self.epoch + 1}: the loss is no longer a number; lower learning_rate"
            )
        return mean

    @torch.inference_mode()
    def _validate(self) -> Metrics:
        """Metrics at the training step's precision, over all processes together."""
        model = self.result.eval()
        shift = self.class_weights.log().cpu().numpy()
        running = RunningMetrics(self.classes)
        for pixels, labels in self.validation_loader:
            with autocast(self.recipe.precision, self.accelerator.device):
                logits = model(pixels)
            logits, labels = self.accelerator.gather_for_metrics((logits, labels))
            running.update(logits.float().cpu().numpy() - shift, labels.cpu().numpy())
        return running.result()


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


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights a little towards the network's; take over its buffers.

    Early on the average forgets faster, as TensorFlow's ExponentialMovingAverage has it: the
    first weights are worth little.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), share)
    for own, buffer in zip(average.buffers(), network.buffers(), strict=True):
        own.copy_(buffer)


def class_weights(train: LabelledImages, recipe: Recipe) -> np.ndarray:
    """The factor of each class in the loss, float32 of shape (K,); their mean over images is 1.

    ``balanced`` is n / (K n_c), scikit-learn's, over the classes that have images. A network
    trained with it answers as if all classes were equally common, p_w(c|x) ∝ w_c p(c|x): subtract
    log w_c from its logits to have log loss honest again.
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
    weights, which would take the weights of rare classes back in the batches that hold many.

    """
    weighted = targets * weights
    spread = weighted.sum(dim=1, keepdim=True) / targets.shape[1]
    smoothed = torch.lerp(weighted, spread.expand_as(weighted), label_smoothing)
    return -(smoothed * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def seconds_per_step(
    network: nn.Module, spec: ImageSpec, recipe: Recipe, device: torch.device
) -> float:
    """Time the arithmetic of one batch on blank images; leaves the network's weights alone."""
    size = min(recipe.batch_size, 32)
    pixels = torch.zeros(size, len(spec.mean), spec.height, spec.width, device=device)
    network.to(device).eval()
    for _ in range(2):  # the first one warms up
        started = time.perf_counter()
        with autocast(recipe.precision, device):
            loss = network(pixels).sum()
        loss.backward()
        loss.item()  # waits for the device
        seconds = time.perf_counter() - started
    network.zero_grad()
    return seconds * recipe.batch_size / size
