"""Peak memory of each of two processes that train L/16: whole (DDP) against sharded (FSDP2).

    .venv/bin/python -m benchmarks.sharded_memory

One step of AdamW in float32 on the CPU, with two images of 224 px for each process, in 14 GB for
both; then the state that a checkpoint holds, which rank 0 gathers. Freed memory goes back, as a
GPU's does; `train` on a CPU keeps it (`keep_freed_memory`), in pieces that FSDP2 cannot use again:
each of its processes then had 5.2 to 6.2 GB, by DDP 7.5 GB. H/14's figures are computed from
its P parameters: DDP has 20 P bytes (weights, gradients, DDP's copy of these, two moments); FSDP2
on N devices has 16 P / N and, of the largest stage, whole weights and gradients. Images, their
activations and Python, about the same in both, come on top; L/16's computed figures are beside the
measured ones.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from foodvision.data import load_dataset
from foodvision.models.config import ViTConfig
from foodvision.models.network import build_network
from foodvision.training.accelerator import build_accelerator, run_processes
from foodvision.training.loop import Training
from foodvision.training.ranks import from_rank_0
from foodvision.training.settings import load_recipe
from foodvision.training.start import starting_point
from tests.conftest import CLASSES, write_images

SETTINGS = {"network": "vit_l16", "num_layers": 24, "image_size": 224, "batch_size": 4}
SETTINGS |= {"optimizer": "adamw", "precision": "float32", "ema_decay": 0.0}
WAYS = {"DDP": "false", "FSDP2": "true"}
GB = 1e9


def peak() -> float:
    """The most memory that this process has had so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB


def measure(data: str, sharded: str) -> None:
    """Take one step as one of several processes, and print the peaks as JSON."""
    device, recipe = torch.device("cpu"), load_recipe("scratch", SETTINGS | {"sharded": sharded})
    train = load_dataset(data).splits["train"]
    with run_processes(device):
        accelerator, before = build_accelerator(device, recipe, Path(data)), peak()
        start = from_rank_0(lambda: starting_point(recipe, train.classes))
        network, spec = start.network, start.spec
        with Training(network, train, train, spec, recipe, accelerator) as training:
            next(training.steps())
            after = peak()
            training.state_dict()
        rank = accelerator.process_index
        print(json.dumps([rank, before, after, peak()]), flush=True)


def computed(name: str, image_size: int, devices: int) -> tuple[float, float]:
    """The formulas above for a ViT, in GB: DDP's and FSDP2's."""
    config = ViTConfig.named(name, num_classes=len(CLASSES), image_size=image_size)
    network = build_network(config, empty=True)
    of_stages = [sum(p.numel() for p in stage.parameters()) for stage in network.stages()]
    P = sum(parameter.numel() for parameter in network.parameters())
    return 20 * P / GB, (16 * P / devices + 8 * max(of_stages)) / GB


def main() -> None:
    """Print what was measured and what is computed."""
    peaks = {}
    with tempfile.TemporaryDirectory() as data:
        for label in CLASSES:
            write_images(Path(data, "train"), label, range(4))
        for way, sharded in WAYS.items():
            launch = [Path(sys.executable).with_name("torchrun"), "--nproc-per-node", "2"]
            line = [*launch, "-m", "benchmarks.sharded_memory", data, sharded]
            ended = subprocess.run(line, capture_output=True, text=True)
            if ended.returncode:
                sys.exit(ended.stderr)
            of_ranks = sorted(map(json.loads, ended.stdout.splitlines()))
            peaks[way] = max(after for _, _, after, _ in of_ranks)
            for rank, before, after, gathered in of_ranks:
                print(
                    f"L/16, {way}, rank {rank} of 2: {after:.1f} GB after a step, of which "
                    f"{before:.1f} GB before the network; {gathered:.1f} GB with a checkpoint",
                    flush=True,
                )
    print(f"FSDP2 has {peaks['FSDP2'] / peaks['DDP']:.2f} times DDP's peak")
    for name, devices in (("l16", 2), ("h14", 2), ("h14", 4), ("h14", 8)):
        ddp, fsdp2 = computed(f"vit_{name}", 224, devices)
        print(
            f"{name}, computed, {devices} devices: {ddp:.1f} GB by DDP, {fsdp2:.1f} GB by FSDP2, "
            f"{fsdp2 / ddp:.2f} times"
        )


if __name__ == "__main__":
    measure(*sys.argv[1:]) if sys.argv[1:] else main()
