"""Is our network equal to the libraries'? Their weights, read here, must give their logits.

Each library builds a network with random weights and saves it in the format it publishes, which is
then read like a published file. At a second resolution both resize the position embeddings.
"""

from __future__ import annotations

import copy
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy.ndimage
import torch
from torch import Tensor, nn

from foodvision.errors import MissingExtraError, ModelError
from foodvision.models.config import ViTConfig, parse_name
from foodvision.models.vit import ViT
from foodvision.weights.from_dinov2 import TRAINED_SIZE
from foodvision.weights.layouts import GOOGLE
from foodvision.weights.source import read_checkpoint

MODELS = ("vit_b16", "vit_b32", "vit_l16", "dinov2_s14", "dinov2_b14", "dinov2_l14")
TOLERANCE = 1e-4
"""What float32 may differ by."""

_SIZES = {"ti": "tiny", "s": "small", "b": "base", "l": "large", "h": "huge"}

Logits: TypeAlias = Callable[[Tensor], Tensor]
"""From images of any size (B, 3, H, W) to the library's logits."""


class Parity(NamedTuple):
    """One comparison.

    Attributes:
        family: whose network and file it is.
        model: which network, at which resolution.
        max_abs_diff: the largest absolute difference of any logit.

    """

    family: str
    model: str
    max_abs_diff: float


def measure_parity(models: Iterable[str] = MODELS) -> Iterator[Parity]:
    """Compare in float32, on two random images, at 224 and about 384 (DINOv2: 518) pixels.

    Args:
        models: names like ``vit_b16`` or ``dinov2_s14``. A DINOv2 has no head: its features are
            compared.

    Raises:
        MissingExtraError: if timm or transformers is not installed.
        ModelError: if there is no such network, or logits differ by more than `TOLERANCE`.

    """
    try:
        configs = {name: _config(name) for name in models}
    except ValueError as error:
        raise ModelError(str(error)) from error
    try:
        import timm  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("paper parity", "dev") from error
    for name, config in configs.items():
        for family, build in (_DINOV2 if name.startswith("dinov2_") else _FAMILIES).items():
            yield from _compare(family, build, name, config)


def _config(name: str) -> ViTConfig:
    if not name.startswith("dinov2_"):
        return ViTConfig.named(name)
    if name not in MODELS:
        raise ValueError(f"no network {name!r}: there are {', '.join(MODELS[3:])}")
    return ViTConfig.named(name.replace("dinov2", "vit"), image_size=TRAINED_SIZE)


@torch.inference_mode()
def _compare(family: str, build: _Build, name: str, config: ViTConfig) -> Iterator[Parity]:
    with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        source, logits = build(name, config, Path(folder))
        checkpoint = read_checkpoint(str(source))
        dinov2 = name.startswith("dinov2_")
        larger = TRAINED_SIZE if dinov2 else 384 // config.patch_size * config.patch_size
        for size in (224, larger):
            x = torch.randn(2, 3, size, size)
            network = checkpoint.build(1 if dinov2 else None, size).network
            found = network.features(x) if dinov2 else network(x)
            difference = (found - logits(x)).abs().max().item()
            yield Parity(family, f"{name} at {size} px", difference)
            if not difference <= TOLERANCE:
                raise ModelError(
                    f"{family}'s {name} at {size} px: logits differ by {difference:.1e}, which is "
                    f"more than {TOLERANCE:g}"
                )


def _randomise(network: nn.Module) -> Any:
    """Move every weight away from its initial value, zeros and ones included."""
    for weight in network.parameters():
        weight.add_(torch.randn_like(weight), alpha=0.02)
    return network.eval()


def _torchvision(name: str, config: ViTConfig, folder: Path) -> tuple[Path, Logits]:
    from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

    def build(image_size: int) -> Any:
        return VisionTransformer(
            image_size=image_size,
            patch_size=config.patch_size,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            hidden_dim=config.hidden_size,
            mlp_dim=config.mlp_size,
        )

    state = _randomise(build(224)).state_dict()
    torch.save(state, folder / "weights.pth")

    def logits(x: Tensor) -> Tensor:
        size = x.shape[-1]
        network = build(size)
        network.load_state_dict(
            interpolate_embeddings(size, config.patch_size, OrderedDict(state)), assign=True
        )
        return network.eval()(x)

    return folder / "weights.pth", logits


def _timm(name: str, config: ViTConfig, folder: Path) -> tuple[Path, Logits]:
    from timm.models import save_for_hf

    network = _randomise(_build_timm(name, 224))
    save_for_hf(network, folder, safe_serialization=True)

    def logits(x: Tensor) -> Tensor:
        network.set_input_size(x.shape[-2:])
        return network(x)

    return folder, logits


def _build_timm(name: str, image_size: int) -> Any:
    import timm

    variant, patch_size = parse_name(name)
    network = f"vit_{_SIZES[variant]}_patch{patch_size or 16}_224"
    # timm's largest networks have a head only on request.
    return timm.create_model(network, img_size=image_size, num_classes=1000)


def _transformers(name: str, config: ViTConfig, folder: Path) -> tuple[Path, Logits]:
    import transformers

    settings = transformers.ViTConfig(
        image_size=224,
        patch_size=config.patch_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        hidden_size=config.hidden_size,
        intermediate_size=config.mlp_size,
        num_labels=config.num_classes,
    )
    network = _randomise(transformers.ViTForImageClassification(settings))
    network.save_pretrained(folder)
    transformers.ViTImageProcessor().save_pretrained(folder)
    return folder, lambda x: network(x, interpolate_pos_encoding=True).logits


def _dinov2_transformers(name: str, config: ViTConfig, folder: Path) -> tuple[Path, Logits]:
    import transformers

    settings = transformers.Dinov2Config(
        image_size=config.image_size,
        patch_size=config.patch_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        hidden_size=config.hidden_size,
    )
    network = _randomise_dinov2(transformers.Dinov2Model(settings))
    network.save_pretrained(folder)
    processor = transformers.BitImageProcessor(
        size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}
    )
    processor.save_pretrained(folder)
    return folder, lambda x: network(x).last_hidden_state[:, 0]


def _dinov2_timm(name: str, config: ViTConfig, folder: Path) -> tuple[Path, Logits]:
    import timm
    from timm.models import save_for_hf

    variant, _ = parse_name(name.replace("dinov2", "vit"))
    network = timm.create_model(f"vit_{_SIZES[variant]}_patch14_dinov2")
    save_for_hf(_randomise_dinov2(network), folder, safe_serialization=True)

    def features(x: Tensor) -> Tensor:
        resized = copy.deepcopy(network)  # from the positions of 518 px each time
        resized.set_input_size(x.shape[-2:])
        return resized(x)

    return folder, features


def _randomise_dinov2(network: nn.Module) -> Any:
    """Factors and positions as large as trained ones: initial factors of 1e-5 hide the blocks."""
    for name, weight in network.named_parameters():
        if name.endswith(("gamma", "lambda1")):
            weight.uniform_(0.1, 1)
        if "pos_embed" in name or "position_embeddings" in name:
            weight.normal_(std=0.5)
    return _randomise(network)


def _google(name: str, config: ViTConfig, folder: Path) -> tuple[Path, Logits]:
    """Without JAX: our weights in the authors' format, which timm reads too.

    The authors resize position embeddings with one line of scipy (vit_jax/checkpoint.py), as here.
    """
    arrays = write_npz(_randomise(ViT(config)), folder / "weights.npz")
    positions = GOOGLE.source_names("embedding.E_pos")[0]
    E_pos = arrays[positions][0]

    def logits(x: Tensor) -> Tensor:
        class_token, grid = np.split(E_pos, [1])
        rows, _ = config.grid
        scale = x.shape[-1] // config.patch_size / rows
        grid = scipy.ndimage.zoom(grid.reshape(rows, rows, -1), (scale, scale, 1), order=1)
        grid = grid.reshape(-1, config.hidden_size)
        arrays[positions] = np.concatenate([class_token, grid])[None]
        np.savez(folder / "resized.npz", **arrays)
        network = _build_timm(name, x.shape[-1])
        network.load_pretrained(str(folder / "resized.npz"))
        return network.eval()(x)

    return folder / "weights.npz", logits


def write_npz(network: ViT, path: Path) -> dict[str, Any]:
    """Save a `ViT` as the paper's authors publish theirs; returns the arrays by name."""
    tensors = GOOGLE.write(network.state_dict(), network.config)
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
    np.savez(path, **arrays)
    return arrays


_Build: TypeAlias = Callable[[str, ViTConfig, Path], tuple[Path, Logits]]
_FAMILIES: dict[str, _Build] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "transformers": _transformers,
    "google": _google,
}
_DINOV2: dict[str, _Build] = {"transformers": _dinov2_transformers, "timm": _dinov2_timm}
