"""Parity: with a reference library's random weights, foodvision gives its logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
import transformers
from torch import Tensor, nn

from foodvision.images import ImageSpec
from foodvision.models.config import ViTConfig
from foodvision.models.network import Network
from foodvision.models.vit import ViT
from foodvision.paper.parity import write_npz
from foodvision.weights.checkpoint import Checkpoint
from foodvision.weights.from_repository import read_repository
from foodvision.weights.layouts import (
    GOOGLE,
    PROJECTION,
    TIMM,
    TORCHVISION,
    VIT_LAYOUTS,
    ViTLayout,
)
from foodvision.weights.projection import resize_projection
from foodvision.weights.tensors import read_tensors

CONFIG = ViTConfig(
    image_size=32,
    patch_size=8,
    num_layers=3,
    hidden_size=24,
    mlp_size=52,
    num_heads=3,
    num_classes=5,
)


def randomised(network: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.2)
    return network.eval()


def assert_equal_logits(network: nn.Module, reference: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = reference(x)
        torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.1  # otherwise nothing was compared


def read(layout: ViTLayout, tensors: dict[str, Tensor], config: ViTConfig = CONFIG) -> Network:
    return Checkpoint(layout, tensors, config, ImageSpec(32)).build().network


def build_timm(**settings: object) -> nn.Module:
    return timm.models.VisionTransformer(
        img_size=32,
        patch_size=8,
        depth=3,
        num_heads=3,
        embed_dim=24,
        mlp_ratio=52 / 24,
        num_classes=5,
        fc_norm=False,
        **settings,
    ).eval()


def test_torchvision() -> None:
    reference = randomised(
        torchvision.models.VisionTransformer(
            image_size=32,
            patch_size=8,
            num_layers=3,
            num_heads=3,
            hidden_dim=24,
            mlp_dim=52,
            num_classes=5,
        )
    )
    assert_equal_logits(read(TORCHVISION, reference.state_dict()), reference)


def test_timm() -> None:
    reference = randomised(build_timm())
    assert_equal_logits(read(TIMM, reference.state_dict()), reference)


def test_average_pooling_equals_timm() -> None:
    reference = randomised(build_timm(class_token=False, global_pool="avg"))
    config = ViTConfig(**{**vars(CONFIG), "pooling": "average"})
    assert_equal_logits(read(TIMM, reference.state_dict(), config), reference)


@pytest.mark.parametrize("qkv_bias", [True, False])
def test_transformers(qkv_bias: bool, tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        image_size=32,
        patch_size=8,
        num_hidden_layers=3,
        num_attention_heads=3,
        hidden_size=24,
        intermediate_size=52,
        num_labels=5,
        qkv_bias=qkv_bias,
    )
    reference = randomised(transformers.ViTForImageClassification(config))
    reference.save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    pretrained = read_repository(tmp_path).build()
    assert pretrained.network.config.layer_norm_eps == 1e-12
    assert pretrained.classes == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3", "LABEL_4")
    assert_equal_logits(pretrained.network, lambda x: reference(x).logits)


@pytest.mark.parametrize("layout", VIT_LAYOUTS, ids=lambda layout: layout.library)
def test_patches_of_another_size_are_the_same_in_every_layout(layout: ViTLayout) -> None:
    state = randomised(ViT(CONFIG)).state_dict()
    checkpoint = Checkpoint(layout, layout.write(state, CONFIG), CONFIG, ImageSpec(32))
    resized = checkpoint.build(image_size=48, patch_size=12).network.state_dict()
    E = resized.pop(PROJECTION)
    torch.testing.assert_close(E, resize_projection(state.pop(PROJECTION), 3, 8, 12))
    assert resized.keys() == state.keys()
    assert all(torch.equal(resized[name], state[name]) for name in state)


def test_timm_reads_the_authors_format(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    written = randomised(ViT(CONFIG))
    write_npz(written, path)
    reference = build_timm()
    reference.load_pretrained(str(path))
    assert_equal_logits(written, reference)
    assert_equal_logits(read(GOOGLE, read_tensors(path)), reference)


def test_the_authors_format_has_flax_names_and_shapes(tmp_path: Path) -> None:
    """As built by vit_jax/models_vit.py; vit_jax/checkpoint.py joins the names with slashes."""
    config = ViTConfig(**{**vars(CONFIG), "num_layers": 1})
    arrays = write_npz(ViT(config), tmp_path / "weights.npz")
    block = "Transformer/encoderblock_0"
    attention = f"{block}/MultiHeadDotProductAttention_1"
    assert {name: array.shape for name, array in arrays.items()} == {
        "cls": (1, 1, 24),
        "embedding/kernel": (8, 8, 3, 24),
        "embedding/bias": (24,),
        "Transformer/posembed_input/pos_embedding": (1, 17, 24),
        f"{block}/LayerNorm_0/scale": (24,),
        f"{block}/LayerNorm_0/bias": (24,),
        f"{attention}/query/kernel": (24, 3, 8),
        f"{attention}/query/bias": (3, 8),
        f"{attention}/key/kernel": (24, 3, 8),
        f"{attention}/key/bias": (3, 8),
        f"{attention}/value/kernel": (24, 3, 8),
        f"{attention}/value/bias": (3, 8),
        f"{attention}/out/kernel": (3, 8, 24),
        f"{attention}/out/bias": (24,),
        f"{block}/LayerNorm_2/scale": (24,),
        f"{block}/LayerNorm_2/bias": (24,),
        f"{block}/MlpBlock_3/Dense_0/kernel": (24, 52),
        f"{block}/MlpBlock_3/Dense_0/bias": (52,),
        f"{block}/MlpBlock_3/Dense_1/kernel": (52, 24),
        f"{block}/MlpBlock_3/Dense_1/bias": (24,),
        "Transformer/encoder_norm/scale": (24,),
        "Transformer/encoder_norm/bias": (24,),
        "head/kernel": (24, 5),
        "head/bias": (5,),
    }


@pytest.mark.parametrize("layout", VIT_LAYOUTS, ids=lambda layout: layout.library)
def test_writing_and_reading_are_inverse(layout: ViTLayout) -> None:
    state = randomised(ViT(CONFIG)).state_dict()
    found = read(layout, layout.write(state, CONFIG)).state_dict()
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor), name
