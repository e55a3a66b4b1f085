"""The one training loop, on Accelerate: from a laptop's two cores to many GPUs.

`fit` is a generator: after every epoch it hands out what the epoch has shown, and its caller
decides what to keep. It knows nothing of files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from foodvision.data.sources import Pictures
from foodvision.errors import FoodvisionError
from foodvision.images import ImageSpec
from foodvision.metrics import Metrics, RunningMetrics
from foodvision.progress import progress_bar
from foodvision.training.batches import training_loader, validation_loader
from foodvision.training.optim import build_optimizer, build_schedule
from foodvision.training.randomness import STEP, seed_for
from foodvision.training.recipe import Recipe


@dataclass(frozen=True)
class Epoch:
    """One pass over the training pictures, and the validation after it.

    Attributes:
        epoch: 1 for the first.
        step: optimiser steps so far.
        train_loss: mean cross-entropy, with smoothing and class weights as the recipe has them:
            not comparable to log loss.
        log_loss: on the validation pictures.
        accuracy: on the validation pictures, in 0-1.
        learning_rate: of the epoch's last step.
        seconds: the epoch took, validation included.
        images_per_second: training pictures per second, without validation.

    """

    epoch: int
    step: int
    train_loss: float
    log_loss: float
    accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float

    def to_dict(self) -> dict[str, Any]:
        """Plain types: a line of history.jsonl."""
        return asdict(self)


def fit(
    network: nn.Module,
    train: Pictures,
    validation: Pictures,
    spec: ImageSpec,
    recipe: Recipe,
    accelerator: Accelerator,
) -> Iterator[Epoch]:
    """Train the network in place for the recipe's epochs, and yield after each.

    Args:
        network: from float32 pictures (B, C, H, W) to logits (B, K).
        train: pictures to learn from.
        validation: pictures to measure on after each epoch.
        spec: how pictures are prepared.
        recipe: everything else; its precision must be decided (bf16 or float32).
        accelerator: device and processes. Autocast is ours: Accelerate's is fixed for a process.

    Raises:
        FoodvisionError: if the loss is no longer a number.

    """
    train_loader, sampler = training_loader(train, spec, recipe)
    model, optimizer, train_loader, check_loader = accelerator.prepare(
        network,
        build_optimizer(network, recipe),
        train_loader,
        validation_loader(validation, spec, recipe),
    )
    steps = recipe.epochs * len(train_loader)
    # Not prepared: Accelerate would advance it once for every process.
    schedule = build_schedule(optimizer.optimizer, recipe, steps)
    weights = torch.tensor(class_weights(train, recipe), device=accelerator.device)
    batch_size = recipe.batch_size * accelerator.num_processes

    step, validated = 0, ""
    with progress_bar() as bar:
        task = bar.add_task("training", total=steps * batch_size, unit="pictures", info="")
        for epoch in range(recipe.epochs):
            started = time.perf_counter()
            sampler.epoch = epoch
            model.train()
            losses: list[Tensor] = []
            for pixels, labels in train_loader:
                # Dropout and stochastic depth draw on the device: every generator is seeded.
                torch.manual_seed(seed_for(recipe.seed, STEP, step, accelerator.process_index))
                with _autocast(recipe, accelerator.device):
                    logits = model(pixels)
                loss = weighted_cross_entropy(logits, labels, weights, recipe.label_smoothing)
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(model.parameters(), recipe.clip_norm)
                learning_rate = optimizer.param_groups[0]["lr"]
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                step += 1
                losses.append(loss.detach())
                if step % 5 == 0:  # reading the loss waits for the device
                    info = f"epoch {epoch + 1}/{recipe.epochs} · loss {loss:.3f}{validated}"
                    bar.update(task, completed=step * batch_size, info=info)
            trained = time.perf_counter()
            train_loss = float(accelerator.reduce(torch.stack(losses).mean(), reduction="mean"))
            if not math.isfinite(train_loss):
                raise FoodvisionError(
                    f"epoch {epoch + 1}: the loss is no longer a number; lower learning_rate"
                )
            metrics = _validate(model, check_loader, train, recipe, accelerator)
            validated = f" · validation log loss {metrics.log_loss:.3f}"
            yield Epoch(
                epoch=epoch + 1,
                step=step,
                train_loss=train_loss,
                log_loss=metrics.log_loss,
                accuracy=metrics.accuracy,
                learning_rate=learning_rate,
                seconds=time.perf_counter() - started,
                images_per_second=len(losses) * batch_size / (trained - started),
            )


def class_weights(train: Pictures, recipe: Recipe) -> np.ndarray:
    """The factor of each class in the loss, float32 of shape (K,); their mean over pictures is 1.

    ``balanced`` is n / (K n_c), scikit-learn's. A network trained with it answers as if all
    classes were equally common, p_w(c|x) ∝ w_c p(c|x): subtract log w_c from its logits to have
    log loss honest again.
    """
    counts = np.bincount(train.labels, minlength=len(train.classes))
    if recipe.class_weights == "none":
        return np.ones(len(counts), dtype=np.float32)
    weights: np.ndarray = (len(train) / (len(counts) * counts)).astype(np.float32)
    return weights


def weighted_cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor, label_smoothing: float
) -> Tensor:
    """Mean over the batch of w_label · cross-entropy.

    Divided by the number of pictures and not, as `F.cross_entropy` does, by the batch's sum of
    weights, which would take the weights of rare classes back in the batches that hold many.
    """
    losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
    return (losses * weights[labels]).mean()


@torch.inference_mode()
def _validate(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    train: Pictures,
    recipe: Recipe,
    accelerator: Accelerator,
) -> Metrics:
    """Metrics at the training step's precision, over all processes together."""
    model.eval()
    shift = np.log(class_weights(train, recipe))
    running = RunningMetrics(train.classes)
    for pixels, labels in loader:
        with _autocast(recipe, accelerator.device):
            logits = model(pixels)
        logits, labels = accelerator.gather_for_metrics((logits, labels))
        running.update(logits.float().cpu().numpy() - shift, labels.cpu().numpy())
    return running.result()


def _autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[Any]:
    bf16 = recipe.precision == "bf16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)


def seconds_per_step(
    network: nn.Module, spec: ImageSpec, recipe: Recipe, device: torch.device
) -> float:
    """Time the arithmetic of one step on blank pictures; leaves the network as it was."""
    size = min(recipe.batch_size, 32)
    pixels = torch.zeros(size, len(spec.mean), spec.height, spec.width, device=device)
    network.to(device)
    for _ in range(2):  # the first one warms up
        started = time.perf_counter()
        with _autocast(recipe, device):
            loss = network(pixels).sum()
        loss.backward()
        loss.item()  # waits for the device
        seconds = time.perf_counter() - started
    network.zero_grad()
    return seconds * recipe.batch_size / size
