"""What the course counted and timed of its two networks, counted and timed here.

No weights are needed: random ones are as many and as fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn
from torchvision.models import EfficientNet_B2_Weights, ViT_B_16_Weights

from foodvision.backends.device import choose_device
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import Example
from foodvision.evaluation.speed import describe_machine, measure_speed
from foodvision.models.config import NetworkConfig, ViTConfig
from foodvision.models.library_config import LibraryConfig
from foodvision.models.network import Network, build_network
from foodvision.paper.course_figures import MB, MINI, PARAMETERS, SECONDS
from foodvision.paper.course_table import Figure
from foodvision.weights.from_torchvision import image_spec

VIT, EFFNETB2 = "ViT-B/16", "EfficientNet-B2"
_SPECS = {
    VIT: image_spec(ViT_B_16_Weights.IMAGENET1K_V1),
    EFFNETB2: image_spec(EfficientNet_B2_Weights.IMAGENET1K_V1),
}


_AT_384_WHY = "its 1,536 more are as many as a LayerNorm before the head has"


def build_config(name: str, num_classes: int) -> NetworkConfig:
    """One of the course's two networks, at the size of its weights."""
    if name == VIT:
        return ViTConfig.named("vit_b16", num_classes=num_classes)
    return LibraryConfig("efficientnet_b2", _SPECS[EFFNETB2].height, num_classes)


def count_sizes() -> Iterator[Figure]:
    """Parameters, which must be the course's, and megabytes."""
    at_384 = ViTConfig.named("vit_b16", num_classes=3, image_size=384)
    networks = {
        f"{VIT}, 3 classes": build_config(VIT, 3),
        f"{VIT}, 1,000 classes": build_config(VIT, 1000),
        f"{VIT} at 384 px, 3 classes": at_384,
        f"{EFFNETB2}, 3 classes": build_config(EFFNETB2, 3),
        f"{EFFNETB2}, 101 classes": build_config(EFFNETB2, 101),
    }
    modules, found = {}, dict[str, int]()
    for name, config in networks.items():
        modules[name] = network = build_network(config, empty=True)
        found[name] = _count(network)
        found[name.replace(",", "'s head,", 1)] = _count(network.head)
    encoder = modules[f"{VIT}, 3 classes"].stages()[1:-1]
    found |= {"one encoder layer": _count(encoder[0])}
    found |= {"twelve encoder layers": sum(map(_count, encoder))}
    for name, original in PARAMETERS.items():
        why = _AT_384_WHY if networks.get(name) == at_384 else ""
        yield Figure(f"{name}: parameters", original, found[name], why)
    for name, mb in MB.items():
        tensors = modules[name].state_dict().values()
        ours = sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6
        yield Figure(f"{name}: MB", mb, ours, "its MB are 2²⁰ bytes, rounded down; ours 10⁶")


def measure_times(examples: Sequence[Example], device: str) -> Iterator[Figure]:
    """Seconds from opening a file to the probabilities, one by one, and their ratio.

    Args:
        examples: see `measure_speed`.
        device: see `choose_device`.

    Raises:
        FoodvisionError: if the machine has no such device.

    """
    kind, names = choose_device(device).type, list(SECONDS)
    classifiers = [
        TorchClassifier(build_network(build_config(name, len(MINI))), _SPECS[name], MINI)
        for name in names
    ]
    speeds = measure_speed(classifiers, examples, kind)
    machine = f"median of {speeds[0].images} images on another machine: {describe_machine(kind)}"
    seconds = [speed.seconds_p50 for speed in speeds]
    for name, ours in zip(names, seconds, strict=True):
        yield Figure(f"{name}: seconds per image", SECONDS[name], ours, machine)
    ratio = SECONDS[VIT] / SECONDS[EFFNETB2]
    ours = seconds[names.index(VIT)] / seconds[names.index(EFFNETB2)]
    yield Figure(f"{VIT} ÷ {EFFNETB2}: seconds", ratio, ours, machine)


def _count(module: Network | nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
