"""ResNet-18 trained from scratch by foodvision's loop: a CNN baseline for a ViT on small data.

    .venv/bin/python benchmarks/resnet.py DATA [seed] [setting=value ...]

The recipe is `scratch` (same images, epochs, augmentation, schedule and moving average) except for
the network and the optimiser: AdamW, because Muon is for the matrices of a ViT. The weights with
the lowest validation log loss are kept. The test split is opened once, at the end.
"""

from __future__ import annotations

import sys
import time

import torch
from accelerate import Accelerator
from torchvision.models import resnet18

from foodvision.backends.device import has_fast_bf16, keep_freed_memory
from foodvision.data import LabelledImages, load_dataset, training_splits
from foodvision.images import ImageSpec
from foodvision.metrics import Metrics, RunningMetrics
from foodvision.training.batches import validation_loader
from foodvision.training.loop import Training
from foodvision.training.memory import OpenedImages
from foodvision.training.recipe import Recipe
from foodvision.training.settings import load_recipe


@torch.inference_mode()
def measure(
    network: torch.nn.Module, images: LabelledImages, spec: ImageSpec, recipe: Recipe
) -> Metrics:
    """Evaluate in float32."""
    running = RunningMetrics(images.classes)
    for pixels, labels in validation_loader(OpenedImages(images, spec), recipe):
        running.update(network.eval()(pixels).numpy(), labels.numpy())
    return running.result()


def main(data: str, seed: str = "0", *settings: str) -> None:
    """Train, keep the best weights and evaluate them on the validation and test images."""
    changes = dict(setting.split("=", 1) for setting in settings)
    precision = "bf16" if has_fast_bf16(torch.device("cpu")) else "float32"
    fixed = {"optimizer": "adamw", "weight_decay": 0.05, "seed": seed, "precision": precision}
    recipe = load_recipe("scratch", fixed | changes)
    dataset, spec = load_dataset(data), recipe.image_spec()
    splits = training_splits(dataset, recipe.seed, recipe.validation_fraction)
    train, validation = splits.train.images, splits.validation.images
    keep_freed_memory()
    torch.manual_seed(recipe.seed)
    network = resnet18(num_classes=len(dataset.classes))
    training = Training(network, train, validation, spec, recipe, Accelerator(cpu=True))
    best, weights, started = float("inf"), network.state_dict(), time.perf_counter()
    for epoch in training.steps():
        if epoch and epoch.log_loss < best:
            best = epoch.log_loss
            weights = {name: value.clone() for name, value in training.result.state_dict().items()}
    minutes = (time.perf_counter() - started) / 60
    network.load_state_dict(weights)
    print(f"ResNet-18, seed {recipe.seed}, {recipe.epochs} epochs in {minutes:.1f} minutes")
    print(f"validation: {measure(network, validation, spec, recipe)}")
    print(f"test:       {measure(network, dataset.splits['test'], spec, recipe)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
