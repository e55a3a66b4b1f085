"""The one training loop, on Accelerate: from a laptop's two cores to many GPUs.

`Training` holds everything that changes during a run, and `Training.steps` changes it. The loop
writes no files: it yields after every step, and its caller decides what to keep.
"""

from __future__ import annotations

import copy
import math
import time
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from torch import Tensor, nn

from foodvision.backends.device import autocast, channels_last
from foodvision.data import LabelledImages
from foodvision.errors import FoodvisionError
from foodvision.images import ImageSpec
from foodvision.images.transforms import finish
from foodvision.metrics import Metrics, RunningMetrics
from foodvision.models.network import Network
from foodvision.training.batches import (
    check_opened,
    training_loader,
    validation_loader,
    without_skipped,
)
from foodvision.training.epoch import Epoch
from foodvision.training.labels import Labels
from foodvision.training.masked import COLOURS, HiddenPatches
from foodvision.training.memory import OpenedImages
from foodvision.training.optim import build_optimizers, set_learning_rate, update_average
from foodvision.training.randomness import STEP, VALIDATION, seed_for, seeded
from foodvision.training.ranks import from_rank_0
from foodvision.training.recipe import Recipe
from foodvision.training.sharding import gathered, is_sharded, load_network, load_optimizer, shard
from foodvision.training.teacher import Teacher

MEANS = ("loss", "accuracy", "opened")
"""What is kept of each batch of an epoch; ``opened`` is the share of its images that could be."""


class Training:
    """The state of a run between two steps.

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
        teacher: Teacher | None = None,
    ) -> None:
        """Prepare the first step.

        Args:
            network: from float32 images (B, C, H, W) to what the objective takes: logits (B, K), or
                those of a `MaskedViT`; trained in place.
            train: images to learn from.
            validation: images to measure on after each epoch.
            spec: how images are prepared.
            recipe: everything else; its precision must be decided (bf16 or float32).
            accelerator: device and processes. Its mixed precision is off: the loop autocasts.
            teacher: whose answers are learnt too, as the recipe says.

        """
        self.spec, self.recipe, self.accelerator = spec, recipe, accelerator
        rank, ranks = accelerator.process_index, accelerator.num_processes
        sharded = is_sharded(network, recipe, ranks)
        # Not in bf16, which then trains more slowly on a CPU; FSDP2 knows one order only.
        if recipe.precision == "float32" and not sharded:
            channels_last(network)
        opened = OpenedImages(train, spec)
        loader, self.sampler = training_loader(opened, recipe, rank, ranks)
        # Its batches are this rank's already: Accelerate moves them to the device.
        self.loader = prepare_data_loader(loader, accelerator.device, 1, 0, put_on_device=True)
        self.network = network
        self.average = copy.deepcopy(network) if recipe.ema_decay else None
        place: Any = shard if sharded else nn.Module.to
        for whole in filter(None, (self.average, network)):
            place(whole, accelerator.device)
        self.model: Any = network if sharded else accelerator.prepare(network)
        self.validation_loader, *self.optimizers = accelerator.prepare(
            validation_loader(OpenedImages(validation, spec), recipe, ranks),
            *build_optimizers(network, recipe),
        )
        if recipe.compile:
            self.model = torch.compile(self.model)
        self.objective: Labels | HiddenPatches
        if recipe.method == "pretrain":
            self.objective = HiddenPatches(spec, recipe.vit_config(COLOURS).patch_size)
        else:
            self.objective = Labels(opened, recipe, accelerator, teacher)
        self.epoch, self.batch, self.step = 0, 0, 0
        self.means: dict[str, list[Tensor]] = {name: [] for name in MEANS}

    @property
    def result(self) -> Network:
        """The network that is validated and saved: the averaged one, if there is one."""
        return self.average or self.network

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.recipe.epochs * math.ceil(len(self.loader) / self.recipe.accumulate)

    def __enter__(self) -> Training:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        """Release the loaders, so that their worker processes end even after a failed step."""
        traceback.clear_frames(frames)
        del self.loader, self.validation_loader
        self.accelerator.free_memory()

    def state_dict(self) -> dict[str, Any]:
        """Everything that later steps depend on, as tensors and plain types.

        Every rank must call it, and any number of ranks can load rank 0's; that of the others lacks
        the tensors of a sharded network.
        """
        state = {
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "means": {name: self._over_ranks(of) for name, of in self.means.items()},
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        return gathered(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from rank 0's `state_dict`; bit for bit, if there are as many ranks.

        Every rank must call it, the others with what `from_rank_0` gives them, empty.
        """
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        means = from_rank_0(lambda: state["means"])
        device = self.accelerator.device
        self.means = {name: list(of_batches.to(device)) for name, of_batches in means.items()}
        load_network(self.network, state["network"])
        if self.average:
            load_network(self.average, state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            load_optimizer(optimizer, saved)

    def steps(self) -> Iterator[Epoch | None]:
        """Train until the recipe's last epoch; yield None after a step, and each `Epoch`.

        At every yield, a run can be resumed from `state_dict`.

        Raises:
            DataError: if too many images of a stream cannot be opened.
            FoodvisionError: if the loss is not a finite number.

        """
        steps, batch_size = self.total_steps, self.recipe.batch_size
        while self.epoch < self.recipe.epochs:
            started, first = time.perf_counter(), self.batch
            self.sampler.epoch = self.epoch
            self.sampler.start = self.batch
            self._train_mode()
            for batch in without_skipped(self.loader, self.epoch + 1):
                rate = set_learning_rate(self.optimizers, self.recipe, self.step, steps)
                with self.accelerator.accumulate(self.model):
                    loss = self._learn(*batch)
                self.batch += 1
                if not self.accelerator.sync_gradients:
                    continue
                self.step += 1
                # Reading the loss waits for the device; of several processes, all must stop.
                if self.step % 5 == 0 and self.accelerator.num_processes == 1:
                    self._check_finite(float(loss))
                if self.batch < len(self.loader):
                    yield None
            trained = time.perf_counter()
            train_loss, train_accuracy, opened = (
                float(self._over_ranks(self.means[name]).mean()) for name in MEANS
            )
            self._check_finite(train_loss)
            check_opened(opened, self.epoch + 1)
            metrics = self._validate()
            seconds = trained - started
            epoch = Epoch(
                epoch=self.epoch + 1,
                step=self.step,
                train_loss=train_loss,
                train_accuracy=train_accuracy,
                log_loss=metrics.log_loss,
                accuracy=metrics.accuracy,
                learning_rate=rate,
                seconds=time.perf_counter() - started,
                images_per_second=(self.batch - first) * batch_size / seconds,
            )
            self.epoch, self.batch = self.epoch + 1, 0
            self.means = {name: [] for name in MEANS}
            yield epoch

    def _train_mode(self) -> None:
        """Dropout, except in frozen layers.

        Batch normalisation keeps the statistics of the pretrained weights: those of a few hundred
        augmented images are so much worse that the first epoch undoes a probe.
        """
        self.model.train()
        if self.recipe.trains_head_alone:
            for stage in self.network.stages():
                stage.eval()
        for module in self.network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()

    def _learn(self, images: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        """One batch: returns its loss, and keeps `MEANS` of it for those of the epoch."""
        recipe, accelerator = self.recipe, self.accelerator
        rank, ranks = accelerator.process_index, accelerator.num_processes
        # Mixing, masks, dropout and stochastic depth draw from torch's generators, all seeded here:
        # mixing is the same on all ranks, whose images are one batch; the rest is not.
        position = recipe.seed, STEP, self.epoch, self.batch
        torch.manual_seed(seed_for(*position, 0))
        pixels = finish(images, self.spec) if images.dtype == torch.uint8 else images
        pixels, targets = self.objective.targets(pixels, labels)
        if rank:
            torch.manual_seed(seed_for(*position, rank))
        with autocast(recipe.precision, accelerator.device):
            answers = self.model(pixels)
        # Ranks may differ by one image, or by those skipped; gradients are averaged over them.
        share = len(indices) * ranks / self.sampler.size
        loss, accuracy = (
            share * mean for mean in self.objective.loss(answers, targets, pixels, indices)
        )
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
        opened = loss.new_full((), share)  # filled on the device: a copy would wait for it
        for name, mean in zip(MEANS, (loss.detach(), accuracy, opened), strict=True):
            self.means[name].append(mean)
        return self.means["loss"][-1]

    def _over_ranks(self, of_batches: list[Tensor]) -> Tensor:
        """The mean of each of the epoch's batches so far, which have the same size."""
        if not of_batches:
            return torch.empty(0)
        means: Tensor = self.accelerator.reduce(torch.stack(of_batches), reduction="mean")
        return means.cpu()

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise FoodvisionError(
                f"epoch {self.epoch + 1}: the loss is not a finite number; start again "
                f"with a lower learning_rate (it is {self.recipe.learning_rate:g})"
            )

    @torch.no_grad()  # FSDP2 gathers into memory that training uses too, so not inference mode
    def _validate(self) -> Metrics:
        """Metrics at the precision of training, over all processes together."""
        model, objective = self.result.eval(), self.objective
        running = RunningMetrics(objective.classes)
        process = self.accelerator.process_index
        with seeded(self.recipe.seed, VALIDATION):  # a loader draws numbers, or not
            for batch, (pixels, labels) in enumerate(self.validation_loader):
                with (
                    seeded(self.recipe.seed, VALIDATION, batch, process),
                    autocast(self.recipe.precision, self.accelerator.device),
                ):
                    answers: Any = model(pixels)
                scored = objective.scored(answers, pixels, labels)
                logits, right = self.accelerator.gather_for_metrics(scored)
                running.update(logits.cpu().flatten(0, -2).numpy(), right.cpu().flatten().numpy())
        return running.result()
