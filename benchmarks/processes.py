"""Training in two processes against one: the loss of every step and the final weights.

    .venv/bin/python -m benchmarks.processes

The two processes, which talk through gloo on the CPU, have the network whole (DDP) or sharded
(FSDP2). Both commands of docs/howto/many_devices.md start them; FSDP2 is started by torchrun only,
which makes no difference to it. The recipe is the same for all, and an epoch is one step, so that
history.jsonl holds the loss of each. The limits are 1e-5 for SGD in 50 steps, and 1e-4 for the
losses of AdamW's and Muon's first 10. The ViT's recipe mixes images; no recipe has dropout, whose
masks each process draws. The exit code is 1 if a difference is above its limit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.images import ImageSpec
from foodvision.models.library import LibraryConfig
from foodvision.models.network import build_network
from tests.conftest import CLASSES, write_images

BIN = Path(sys.executable).parent
LAUNCHERS = {
    "torchrun": [BIN / "torchrun", "--nproc-per-node", "2", "-m", "foodvision"],
    "accelerate": [
        *(BIN / "accelerate", "launch", "--multi_gpu", "--num_processes", "2"),
        *("-m", "foodvision"),
    ],
}
COMMON = {"batch_size": 24, "precision": "float32", "clip_norm": 1.0, "auto_augment": "none"}
VIT = {"image_size": 32, "num_layers": 2, "mixup": 0.8, "cutmix": 1.0, "ema_decay": 0.9}
VIT |= {"stochastic_depth": 0.0}
SGD = {"optimizer": "sgd", "learning_rate": 0.03, "epochs": 50}
WAYS = {
    "DDP by torchrun": ("torchrun", "false"),
    "DDP by accelerate": ("accelerate", "false"),
    "FSDP2 by torchrun": ("torchrun", "true"),
}
CASES = {
    # At 0.03 the loss rises after the warm-up, and rounding errors grow with it: to 2e-5.
    "ViT, SGD": VIT | SGD | {"learning_rate": 0.01},
    "ViT, AdamW": VIT | {"optimizer": "adamw", "learning_rate": 1e-3, "epochs": 10},
    "ViT, Muon": VIT | {"optimizer": "muon", "learning_rate": 1e-3, "epochs": 10},
    "ConvNeXt, SGD": SGD,
}


def train(out: Path, command: list, data: Path, settings: dict, *words: str) -> None:
    """Run one command to its end."""
    changes = [f"--set={key}={value}" for key, value in (COMMON | settings).items()]
    line = [*command, "train", data, "--out", out, "--device", "cpu", *changes, *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(line, capture_output=True, text=True, env=environment)
    if ended.returncode:
        sys.exit(ended.stderr)


def losses(run: Path) -> torch.Tensor:
    """The training loss of each step."""
    lines = (run / "history.jsonl").read_text("utf-8").splitlines()
    return torch.tensor([json.loads(line)["train_loss"] for line in lines], dtype=torch.float64)


def weights(run: Path) -> torch.Tensor:
    """All weights after the last step, as one vector."""
    state = torch.load(max((run / "checkpoints").iterdir()), weights_only=True)
    return torch.cat([tensor.flatten() for tensor in state["training"]["network"].values()])


def save_convnext(folder: Path) -> None:
    """Write the ConvNeXt that timm tests with, its weights random."""
    torch.manual_seed(0)
    network = build_network(LibraryConfig("test_convnext", 32, len(CLASSES), "timm"))
    TorchClassifier(network, ImageSpec(32), CLASSES).save(folder)


def main() -> None:
    """Print a line for each case and launcher."""
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for label in CLASSES:
            write_images(folder / "data" / "train", label, range(8))
            write_images(folder / "data" / "validation", label, range(100, 102))
        save_convnext(folder / "convnext")
        for name, settings in CASES.items():
            words = []
            if name.startswith("ConvNeXt"):
                words = ["--recipe", "finetune", "--weights", folder / "convnext"]
                settings = settings | {"stochastic_depth": 0.0, "layer_decay": 1.0}
            one = folder / f"{name}, one"
            train(one, [BIN / "foodvision"], folder / "data", settings, *words)
            for way, (launcher, sharded) in WAYS.items():
                two = folder / f"{name}, {way}"
                changes = settings | {"sharded": sharded}
                train(two, LAUNCHERS[launcher], folder / "data", changes, *words)
                of_losses = (losses(one) - losses(two)).abs().max().item()
                of_weights = (weights(one) - weights(two)).abs().max().item()
                sgd = settings["optimizer"] == "sgd"
                failed |= (max(of_losses, of_weights) > 1e-5) if sgd else of_losses > 1e-4
                print(
                    f"{name}, {way}: {len(losses(one))} steps, loss {losses(one)[0]:.4f} to "
                    f"{losses(one)[-1]:.4f}; largest difference {of_losses:.1e} of a loss, "
                    f"{of_weights:.1e} of a weight",
                    flush=True,
                )
    sys.exit(failed)


if __name__ == "__main__":
    main()
