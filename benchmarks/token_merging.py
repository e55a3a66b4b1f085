"""Token merging (arXiv 2210.09461): how much faster a ViT answers, and what its log loss becomes.

    python benchmarks/token_merging.py MODEL [DATA] [--merged 0 4 8 12 16] [--split validation]

In each layer but the last, r of the n tokens are merged into others between attention and MLP: the
most similar pairs of a bipartite matching by their keys. The weights stay as they are. Times are of
the network alone, one image, two threads, the ways in random order; log loss and accuracy are those
of DATA's validation images, by which r is chosen, or of its test split. Without DATA (a network of
random weights), there are times alone.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foodvision.backends.openvino import CORE, HAS_BF16
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import load_dataset
from foodvision.data.dataset import LabelledImages
from foodvision.data.splits import training_splits
from foodvision.export.int8 import quantised
from foodvision.export.quiet import quietly
from foodvision.images.transforms import open_pixels, prepare
from foodvision.metrics import log_loss_of_each
from foodvision.models.vit import EncoderBlock, ViT

ROUNDS, CALIBRATED, THREADS = 25, 64, 2
TORCH = "torch float32"


class MergingViT(nn.Module):
    """A ViT with a class token whose layers each merge r tokens away."""

    def __init__(self, network: ViT, r: int) -> None:
        super().__init__()
        self.network, self.r = network, r

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Logits."""
        z = self.network.embedding(pixel_values)
        size = None  # how many patches each token stands for, once they differ
        *blocks, last = self.network.blocks
        for block in blocks:
            z, keys = attended(block, z, size)
            if r := min(self.r, (z.shape[1] - 1) // 2):  # the class token and half of the others
                z, size = merged(z, torch.ones_like(z[..., :1]) if size is None else size, keys, r)
            z = z + block.mlp(block.norm2(z))
        z, _ = attended(last, z, size, 1)
        z = z + last.mlp(last.norm2(z))
        return self.network.classify(self.network.norm(z[:, 0]))


def attended(
    block: EncoderBlock, z: Tensor, size: Tensor | None, m: int | None = None
) -> tuple[Tensor, Tensor]:
    """Eq. 2 of the first m tokens with attention in proportion to sizes, and the keys' mean."""
    q, k, v = block.msa.qkv(block.norm1(z), m)
    bias = None if size is None else size.log().transpose(-2, -1)[:, None]
    SA = F.scaled_dot_product_attention(q, k, v, bias)
    return z[:, :m] + block.msa.U_msa(SA.transpose(1, 2).flatten(2)), k.mean(dim=1)


def merged(z: Tensor, size: Tensor, keys: Tensor, r: int) -> tuple[Tensor, Tensor]:
    """Merge the r most similar tokens of even position into tokens of odd position."""
    keys = F.normalize(keys, dim=-1)
    similarity = keys[:, ::2] @ keys[:, 1::2].transpose(-2, -1)
    best, partner = similarity.max(dim=-1)
    best = torch.cat([torch.full_like(best[:, :1], -9), best[:, 1:]], dim=1)  # the class token
    order = best.argsort(dim=-1, descending=True)
    gone, kept = order[:, :r], order[:, r:].sort(dim=-1).values
    into = F.one_hot(partner.gather(1, gone), similarity.shape[-1]).to(z.dtype)
    parts = torch.cat([z * size, size], dim=-1)
    even, odd = parts[:, ::2], parts[:, 1::2]
    odd = odd + into.transpose(-2, -1) @ even.take_along_dim(gone[..., None], dim=1)
    parts = torch.cat([even.take_along_dim(kept[..., None], dim=1), odd], dim=1)
    return parts[..., :-1] / parts[..., -1:], parts[..., -1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data", nargs="?")
    parser.add_argument("--merged", type=int, nargs="+", default=[0, 4, 8, 12, 16])
    parser.add_argument("--split", default="validation", choices=["validation", "test"])
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    classifier = TorchClassifier.load(arguments.model, "cpu")
    assert isinstance(classifier.network, ViT)
    classifier.network.eval()
    calibration, images, labels = images_of(classifier, arguments.data, arguments.split)
    ways: dict[tuple[int, str], Callable[[np.ndarray], np.ndarray]] = {}
    for r in arguments.merged:
        for name, run in compiled(MergingViT(classifier.network, r).eval(), calibration).items():
            ways[r, name] = run
    with torch.inference_mode():
        plain = np.concatenate([classifier.network(torch.from_numpy(x)).numpy() for x in images])
    seconds = timed(ways, images[0])
    print(f"{arguments.split}, n = {len(labels)}" if arguments.data else "times alone")
    for (r, name), run in ways.items():
        line = f"r = {r:2}  {name:16} {1000 * statistics.median(seconds[r, name]):7.1f} ms"
        if arguments.data or (r, name) == (0, TORCH):
            logits = np.concatenate([run(x) for x in images])
            if (r, name) == (0, TORCH):
                np.testing.assert_allclose(logits, plain, atol=1e-5)
        if arguments.data:
            loss, answers = log_loss_of_each(logits, labels).mean(), logits.argmax(axis=1)
            line += f"  log loss {loss:.4f}  accuracy {np.mean(answers == labels):.1%}"
            line += f"  same answers {np.mean(answers == plain.argmax(axis=1)):.1%}"
        print(line, flush=True)


def images_of(
    classifier: TorchClassifier, data: str | None, split: str
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Training images to calibrate by, the split's images, and their labels."""
    spec = classifier.spec
    if data is None:
        shape = (1, 3, spec.height, spec.width)
        drawn = [np.random.default_rng(i).normal(size=shape).astype(np.float32) for i in range(4)]
        return drawn, drawn, np.array([])

    def prepared(images: LabelledImages) -> list[np.ndarray]:
        return [prepare(open_pixels(image.source, spec), spec)[None].numpy() for image in images]

    dataset, recipe = load_dataset(data), classifier.info.recipe
    splits = training_splits(dataset, recipe["seed"], recipe["validation_fraction"])
    measured = splits.validation.images if split == "validation" else dataset.splits[split]
    measured = measured.relabelled(classifier.classes)
    order = np.random.default_rng(0).permutation(len(splits.train.images))
    return (
        prepared(splits.train.images.subset(order[:CALIBRATED])),
        prepared(measured),
        measured.labels,
    )


def compiled(
    network: MergingViT, calibration: list[np.ndarray]
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    with tempfile.TemporaryDirectory() as folder, quietly(), torch.no_grad():
        path = Path(folder) / "merging.onnx"
        example = (torch.from_numpy(calibration[0]),)
        torch.onnx.export(
            network, example, path, dynamo=True, verbose=False, opset_version=18,
            input_names=["pixel_values"], output_names=["logits"],
        )  # fmt: skip
        model = CORE.read_model(path)
        head = model.output().get_node().input_value(0).get_node()
        for node in (head, head.input_value(0).get_node()):  # which stays in float32, as in exports
            node.set_friendly_name(f"head/{node.get_friendly_name()}")
        int8 = quantised(model, calibration, transformer=True)
        found = {
            "OpenVINO float32": on_openvino(model, "f32"),
            "OpenVINO int8": on_openvino(int8, "bf16" if HAS_BF16 else "f32"),
        }

    def in_torch(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(x)).numpy()

    return {TORCH: in_torch} | found


def on_openvino(model: openvino.Model, hint: str) -> Callable[[np.ndarray], np.ndarray]:
    properties = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": THREADS}
    compiled_model = CORE.compile_model(model, "CPU", properties | {"PERFORMANCE_HINT": "LATENCY"})
    return lambda x: compiled_model([x])[0].copy()


def timed(
    ways: dict[tuple[int, str], Callable[[np.ndarray], np.ndarray]], x: np.ndarray
) -> dict[tuple[int, str], list[float]]:
    seconds: dict[tuple[int, str], list[float]] = {way: [] for way in ways}
    for turn in range(ROUNDS + 2):
        for way in random.sample(list(ways), len(ways)):
            started = time.perf_counter()
            ways[way](x)
            if turn > 1:
                seconds[way].append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main()
