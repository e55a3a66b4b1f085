from __future__ import annotations

import pytest
import torch

from foodvision.models.config import ViTConfig
from foodvision.models.vit import ViT
from foodvision.models.vit_builtin import ViTBuiltin


@pytest.mark.parametrize("pooling", ["class_token", "average"])
@pytest.mark.parametrize("training", [False, True])  # in eval PyTorch takes its own fast path
def test_pytorch_encoder_with_the_same_weights_gives_the_same_logits(
    pooling: str, training: bool
) -> None:
    config = ViTConfig(
        image_size=32,
        patch_size=8,
        num_layers=3,
        hidden_size=24,
        mlp_size=50,
        num_heads=3,
        num_classes=4,
        pooling=pooling,
    )
    torch.manual_seed(1)
    vit, builtin = ViT(config).train(training), ViTBuiltin(config).train(training)
    for weight in vit.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    builtin.copy_from(vit)
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(builtin(x), vit(x), rtol=0, atol=1e-5)


def test_both_have_the_same_number_of_parameters() -> None:
    config = ViTConfig.named("vit_ti16", image_size=64)
    sizes = {
        sum(weight.numel() for weight in network.parameters())
        for network in (ViT(config), ViTBuiltin(config))
    }
    assert len(sizes) == 1
