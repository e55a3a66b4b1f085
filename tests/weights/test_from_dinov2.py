"""DINOv2 from transformers, timm and its authors: their features, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import transformers
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf
from torch import Tensor, nn

from foodvision.classifier.describe import describe
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import ModelError
from foodvision.images import ImageSpec
from foodvision.weights.source import load_pretrained

SPEC = ImageSpec(224, "crop", 256, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def randomised(network: nn.Module) -> nn.Module:
    """With factors of LayerScale that are not near 0, where the blocks would not be compared."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            factor = name.endswith(("gamma", "lambda1"))
            nn.init.uniform_(weight, 0.2, 1.5) if factor else nn.init.normal_(weight, std=0.2)
    return network.eval()


def assert_same_features(network: nn.Module, reference: Callable[[Tensor], Tensor], size: int):
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected = reference(x)
        assert expected.std() > 0.1
        torch.testing.assert_close(network.features(x), expected, rtol=0, atol=2e-5)


CONFIG = transformers.Dinov2Config(
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    mlp_ratio=3,
    image_size=70,
    num_labels=4,
)


def save_transformers(network: nn.Module, folder: Path) -> None:
    network.save_pretrained(folder)
    processor = transformers.BitImageProcessor(
        size={"shortest_edge": 48},
        crop_size={"height": 42, "width": 42},
        image_mean=SPEC.mean,
        image_std=SPEC.std,
    )
    processor.save_pretrained(folder)


@pytest.fixture
def model(tmp_path: Path) -> nn.Module:
    network = randomised(transformers.Dinov2Model(CONFIG))
    save_transformers(network, tmp_path)
    return network


def features(network: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: network(x).last_hidden_state[:, 0]


def test_transformers_folder(model: nn.Module, tmp_path: Path) -> None:
    loaded = load_pretrained(str(tmp_path), num_classes=3)
    assert loaded.spec == ImageSpec(42, "crop", 48, "bicubic", SPEC.mean, SPEC.std)
    assert loaded.network.config.layer_norm_eps == 1e-6
    assert loaded.network.config.mlp_size == 72
    for size in (42, 70, 84):
        network = load_pretrained(str(tmp_path), num_classes=3, image_size=size).network
        assert_same_features(network, features(model), size)
    TorchClassifier(loaded.network, loaded.spec, ("a", "b", "c")).save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved/config.json").read_text())["model_type"] == "vit"
    assert_same_features(load_pretrained(str(tmp_path / "saved")).network, features(model), 42)
    assert describe(tmp_path).startswith("network    ViT of 2 layers, hidden size 24, 3 heads, p")
    with pytest.raises(ModelError, match="it has no head: give the number of classes"):
        load_pretrained(str(tmp_path))


def test_names_in_memory(model: nn.Module, tmp_path: Path) -> None:
    """As transformers 5 names the modules: q_proj, k_proj, v_proj and o_proj."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert any("o_proj" in name for name in state)
    save_file(state, tmp_path / "model.safetensors")
    network = load_pretrained(str(tmp_path), num_classes=3).network
    assert_same_features(network, features(model), 42)


def test_without_biases_of_attention(tmp_path: Path) -> None:
    config = transformers.Dinov2Config(**{**CONFIG.to_dict(), "qkv_bias": False})
    network = randomised(transformers.Dinov2Model(config))
    save_transformers(network, tmp_path)
    loaded = load_pretrained(str(tmp_path), num_classes=3).network
    assert_same_features(loaded, features(network), 42)


def test_its_classifier_reads_more_than_the_class_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = randomised(transformers.Dinov2ForImageClassification(CONFIG))
    save_transformers(network, tmp_path)
    loaded = load_pretrained(str(tmp_path), num_classes=3)
    assert_same_features(loaded.network, features(network.dinov2), 42)
    assert not loaded.network.head.weight.any()
    assert "classifier.weight: the head reads the class token and the mean of" in caplog.text
    with pytest.raises(ModelError, match="it has no head: give the number of classes"):
        load_pretrained(str(tmp_path))


def build_timm(size: int = 518) -> nn.Module:
    torch.manual_seed(0)
    return randomised(
        timm.models.VisionTransformer(
            img_size=size,
            patch_size=14,
            embed_dim=192,
            depth=2,
            num_heads=3,
            mlp_ratio=1,
            init_values=1e-5,
            num_classes=0,
        )
    )


def test_timms_repository(tmp_path: Path) -> None:
    network = build_timm()
    network.pretrained_cfg = timm.get_pretrained_cfg("vit_small_patch14_dinov2").to_dict()
    network.pretrained_cfg["architecture"] = "vit_small_patch14_dinov2"
    save_for_hf(network, tmp_path, safe_serialization=True)
    loaded = load_pretrained(str(tmp_path), num_classes=3)
    assert loaded.spec == SPEC  # departs from timm's 518 px
    larger = load_pretrained(str(tmp_path), num_classes=3, image_size=518)
    assert larger.spec == SPEC.at(518)
    assert_same_features(larger.network, network, 518)
    network.set_input_size((224, 224))
    assert_same_features(loaded.network, network, 224)


def test_the_authors_file(tmp_path: Path) -> None:
    """Positions for 224 px are resized as transformers does it."""
    network = build_timm()
    state = network.state_dict() | {"mask_token": torch.zeros(1, 192)}
    torch.save(state, tmp_path / "dinov2_vits14_pretrain.pth")
    loaded = load_pretrained(str(tmp_path / "dinov2_vits14_pretrain.pth"), num_classes=3)
    assert loaded.spec == SPEC
    table = state["pos_embed"][:, 1:].reshape(1, 37, 37, 192).permute(0, 3, 1, 2)
    table = nn.functional.interpolate(table, size=(16, 16), mode="bicubic", align_corners=False)
    resized = build_timm(224)
    grid = table.flatten(2).transpose(1, 2)
    positions = torch.cat([state["pos_embed"][:, :1], grid], dim=1)
    resized.load_state_dict(network.state_dict() | {"pos_embed": positions})
    assert_same_features(loaded.network, resized, 224)


BLOCK = "encoder.layer.1."


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda s: {n: t for n, t in s.items() if n != f"{BLOCK}layer_scale2.lambda1"},
            "the weights lack encoder.layer.1.layer_scale2.lambda1",
        ),
        (
            lambda s: {n: t for n, t in s.items() if "layer_scale" not in n},
            r"the weights lack encoder\.layer\.0\.layer_scale1\.lambda1",
        ),
        (
            lambda s: s | {f"{BLOCK}layer_scale1.lambda1": torch.ones(1)},
            r"layer_scale1\.lambda1 has shape \(1,\), not \(24,\)",
        ),
        (
            lambda s: {n: t for n, t in s.items() if n != f"{BLOCK}mlp.fc2.bias"},
            r"the weights lack encoder\.layer\.1\.mlp\.fc2\.bias",
        ),
        (lambda s: s | {"register_tokens": torch.ones(1)}, "register_tokens: it has registers"),
        (lambda s: s | {f"{BLOCK}mlp.w12.bias": torch.ones(1)}, "its MLP is a SwiGLU, as in DINOv"),
        (
            lambda s: s | {"encoder.layer.7.layer_scale1.lambda1": torch.ones(24)},
            r"the weights hold encoder\.layer\.7\.layer_scale1\.lambda1, which the network",
        ),
    ],
)
def test_every_tensor_is_accounted_for(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    reason: str,
    model: nn.Module,
    tmp_path: Path,
) -> None:
    state = load_file(tmp_path / "model.safetensors")
    save_file(change(state), tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=reason):
        load_pretrained(str(tmp_path), num_classes=3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"use_swiglu_ffn": True}, "use_swiglu_ffn, as in DINOv2 giant, is not supported"),
        (
            {"model_type": "dinov2_with_registers"},
            "'dinov2_with_registers' is not supported: regis",
        ),
        ({"mlp_ratio": "x"}, "config.json: "),
        ({"hidden_size": None}, "config.json: "),
    ],
)
def test_other_networks_are_refused(
    changes: dict[str, object], reason: str, model: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ModelError, match=reason):
        load_pretrained(str(tmp_path), num_classes=3)
