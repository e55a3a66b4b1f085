"""Our network is the reference libraries': their random weights, copied, give their logits."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
import transformers
from torch import nn

from foodvision.models import ViT, ViTConfig
from foodvision.models.weights import from_transformers_config, from_transformers_weights

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


def renamed(state: dict[str, torch.Tensor], names: dict[str, str]) -> dict[str, torch.Tensor]:
    """Replace parts of names, and flatten the convolution that is our E."""
    result = {}
    for name, tensor in state.items():
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        result[name] = tensor.flatten(1) if name == "embedding.E.weight" else tensor
    return result


def assert_equal_logits(ours: ViT, theirs: nn.Module) -> None:
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.1  # or nothing was compared


def test_torchvision() -> None:
    theirs = randomised(
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
    names = {
        "class_token": "embedding.x_class",
        "conv_proj": "embedding.E",
        "encoder.pos_embedding": "embedding.E_pos",
        "encoder.layers.encoder_layer_": "blocks.",
        "encoder.ln.": "norm.",
        "heads.head": "head",
        "ln_1": "norm1",
        "ln_2": "norm2",
        "self_attention.in_proj_": "msa.U_qkv.",
        "self_attention.out_proj": "msa.U_msa",
    }
    ours = ViT(CONFIG).eval()
    ours.load_state_dict(renamed(theirs.state_dict(), names))
    assert_equal_logits(ours, theirs)


@pytest.mark.parametrize("pooling", ["class_token", "average"])
def test_timm(pooling: str) -> None:
    theirs = randomised(
        timm.models.VisionTransformer(
            img_size=32,
            patch_size=8,
            depth=3,
            num_heads=3,
            embed_dim=24,
            mlp_ratio=52 / 24,
            num_classes=5,
            class_token=pooling == "class_token",
            fc_norm=False,
            global_pool="token" if pooling == "class_token" else "avg",
        )
    )
    names = {
        "cls_token": "embedding.x_class",
        "patch_embed.proj": "embedding.E",
        "pos_embed": "embedding.E_pos",
        "attn.qkv": "msa.U_qkv",
        "attn.proj": "msa.U_msa",
        "mlp.fc1": "mlp.0",
        "mlp.fc2": "mlp.3",
    }
    ours = ViT(ViTConfig(**{**vars(CONFIG), "pooling": pooling})).eval()
    ours.load_state_dict(renamed(theirs.state_dict(), names))
    assert_equal_logits(ours, theirs)


@pytest.mark.parametrize("qkv_bias", [True, False])
def test_transformers(qkv_bias: bool, tmp_path) -> None:
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
    theirs = randomised(transformers.ViTForImageClassification(config))
    theirs.save_pretrained(tmp_path)
    from safetensors.torch import load_file

    read = from_transformers_config(config.to_dict(), num_classes=5)
    assert read.layer_norm_eps == 1e-12
    ours = ViT(read).eval()
    ours.load_state_dict(from_transformers_weights(load_file(tmp_path / "model.safetensors"), read))

    class Logits(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return theirs(x).logits

    assert_equal_logits(ours, Logits())
