"""timm's own networks: their logits, their images, saving them, and what is refused."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.data import create_transform
from timm.models import save_for_hf
from torch import nn

from foodvision.classifier.describe import describe
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import MissingExtraError, ModelError
from foodvision.images.transforms import open_pixels, prepare
from foodvision.models.library_config import LibraryConfig
from foodvision.models.network import build_network
from foodvision.training.run import train
from foodvision.weights import from_timm
from foodvision.weights.source import load_pretrained
from tests.conftest import draw_pattern

NAMES = ("test_efficientnet", "test_convnext", "test_vit3", "eva02_tiny_patch14_224")
"""A CNN, a ConvNeXt, and two ViTs: one of registers and LayerScale, one of rotary positions."""


def build(name: str, **settings: Any) -> nn.Module:
    """timm's network that behaves as if trained: no batch normalisation is the identity."""
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=3, **settings)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point() and tensor.numel() > 1:
                tensor.add_(torch.rand_like(tensor), alpha=0.05)
    return network.eval()


def save(network: nn.Module, folder: Path, **settings: Any) -> Path:
    folder.mkdir(exist_ok=True)
    save_for_hf(network, folder, {"label_names": ["a", "b", "c"]}, safe_serialization=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    return folder


@pytest.fixture(scope="module", params=NAMES)
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a small network, which must be rebuilt from it."""
    return save(build(request.param), tmp_path_factory.mktemp(request.param))


def reference(folder: Path, **settings: Any) -> nn.Module:
    """As timm loads it."""
    return timm.create_model(f"local-dir:{folder}", pretrained=True, **settings).eval()


def assert_same_logits(network: nn.Module, expected: nn.Module, size: int) -> None:
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        logits = expected(x)
        assert logits.std() > 1e-2  # otherwise nothing was compared
        torch.testing.assert_close(network(x), logits, rtol=0, atol=1e-5)
        torch.testing.assert_close(network.head(network.features(x)), network(x))


def test_logits_equal_timm_before_and_after_saving(repository: Path, tmp_path: Path) -> None:
    loaded = load_pretrained(str(repository))
    size = loaded.spec.height
    assert loaded.classes == ("a", "b", "c")
    assert loaded.network.config.kind == f"timm's {repository.name[:-1]}"
    assert_same_logits(loaded.network, reference(repository), size)
    file = load_pretrained(str(repository / "model.safetensors"))
    assert_same_logits(file.network, loaded.network, size)
    TorchClassifier(loaded.network, loaded.spec, loaded.classes).save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "foodvision"
    assert describe(tmp_path).startswith(f"network    {loaded.network.config.kind}; ")
    assert describe(repository).startswith(f"network    {loaded.network.config.kind}; ")
    again = TorchClassifier.load(tmp_path, "cpu")
    assert (again.network.config, again.spec) == (loaded.network.config, loaded.spec)
    for name, tensor in loaded.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor), name
    assert_same_logits(again.network, loaded.network, size)


def test_another_size_and_head(repository: Path, tmp_path: Path) -> None:
    size = 98 if "patch14" in repository.name else 96
    fixed = {"img_size": size} if "vit" in repository.name or "eva" in repository.name else {}
    resized = load_pretrained(str(repository), image_size=size)
    assert_same_logits(resized.network, reference(repository, **fixed), size)
    new = load_pretrained(str(repository), num_classes=5, image_size=size).network
    assert new.head.weight.shape[0] == 5
    assert not new.head.weight.any()
    TorchClassifier(resized.network, resized.spec, ("a", "b", "c")).save(tmp_path)
    assert_same_logits(load_pretrained(str(tmp_path)).network, resized.network, size)
    twice = load_pretrained(str(tmp_path), image_size=2 * size).network
    assert twice(torch.zeros(1, 3, 2 * size, 2 * size)).shape == (1, 3)


@pytest.mark.parametrize("recipe", ["probe", "finetune"])
def test_they_are_trained(recipe: str, repository: Path, patterns: Path, tmp_path: Path) -> None:
    size = 42 if "patch14" in repository.name else 48
    settings = {"weights": str(repository), "precision": "float32", "batch_size": 16}
    settings |= {"image_size": size, "fraction": 0.3} | ({"epochs": 1} if recipe != "probe" else {})
    result = train(patterns, recipe, tmp_path / "r", "cpu", **settings)
    begun = load_pretrained(str(repository), 3, size).network.state_dict()
    state = TorchClassifier.load(tmp_path / "r", "cpu").network.state_dict()
    changed = {name.split(".")[0] for name in begun if not torch.equal(state[name], begun[name])}
    assert changed == ({"head"} if recipe == "probe" else {"body", "head"})
    assert result.metrics.n > 0


@pytest.mark.parametrize("name", ["lcnet_035", "efficientvit_m0", "eva02_tiny_patch14_224"])
def test_an_empty_network_becomes_whole_and_draws_no_random_number(name: str) -> None:
    config = LibraryConfig(name, 224, 3, "timm")
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    empty = build_network(config, empty=True)
    assert torch.rand(1).equal(expected)
    full = build_network(config)
    empty.load_state_dict(full.state_dict(), assign=True)
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(empty.eval().features(x), full.eval().features(x))
    held = [id(weight) for stage in full.stages() for weight in stage.parameters()]
    heads = {id(weight) for weight in full.head.parameters()}
    assert sorted(held) == sorted({id(weight) for weight in full.parameters()} - heads)


def test_older_names_are_converted_as_timm_does(tmp_path: Path) -> None:
    """As the authors of ConvNeXt name its tensors, in files that timm published."""
    network = build("test_convnext")
    folder = save(network, tmp_path)
    renames = {
        r"stem\.": "downsample_layers.0.",
        r"stages\.(\d)\.downsample": r"downsample_layers.\1",
        r"stages\.(\d)\.blocks\.": r"stages.\1.",
        "conv_dw": "dwconv",
        r"mlp\.fc": "pwconv",
        r"head\.norm": "norm",
        r"head\.fc": "head",
    }
    state = load_file(folder / "model.safetensors")
    for new, old in renames.items():
        state = {re.sub(new, old, name): tensor for name, tensor in state.items()}
    assert state["head.bias"].shape == (3,)
    save_file(state, folder / "model.safetensors")
    assert_same_logits(load_pretrained(str(folder)).network, network, 160)
    assert not load_pretrained(str(folder), num_classes=5).network.head.weight.any()


@pytest.mark.parametrize(
    ("size", "crop_pct", "crop_mode"),
    [(224, 0.875, "center"), (224, 0.96, "center"), (160, 0.95, "center"), (75, 1.0, "squash")],
)
def test_images_are_prepared_as_timm_does(size: int, crop_pct: float, crop_mode: str) -> None:
    published: dict[str, Any] = {
        "input_size": (3, size, size),
        "interpolation": "bicubic",
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.2, 0.3),
        "crop_pct": crop_pct,
        "crop_mode": crop_mode,
    }
    spec = from_timm.image_spec({"pretrained_cfg": published})
    image = draw_pattern("waves", 1, (300, 400))
    expected = create_transform(**published)(image)
    found = prepare(open_pixels(image, spec), spec)
    assert found.shape == expected.shape
    # Pillow and torchvision round their filter weights differently.
    assert ((found - expected).abs() <= 2.01 / 255 / 0.2).float().mean() > 0.995


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"crop_mode": "border"}, "with crop_mode 'border' and crop_pct 0.95 is not supported"),
        ({"crop_mode": "squash"}, "with crop_mode 'squash' and crop_pct 0.95 is not supported"),
        ({"input_size": [3, 160, 192]}, "input_size 3 × 160 × 192 with crop_mode 'center'"),
        ({"input_size": [1, 160, 160]}, "input_size 1 × 160 × 160 with"),
        ({"interpolation": "nearest"}, "interpolation is bilinear or bicubic, not 'nearest'"),
        ({"crop_pct": 0}, "pretrained_cfg is damaged"),
        ({"crop_pct": "x"}, "pretrained_cfg is damaged"),
        ({"input_size": None}, "pretrained_cfg is damaged"),
    ],
)
def test_images_that_cannot_be_prepared(changes: dict[str, Any], reason: str) -> None:
    published = {
        "input_size": [3, 160, 160],
        "interpolation": "bicubic",
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "crop_pct": 0.95,
        "crop_mode": "center",
    }
    with pytest.raises(ModelError, match=reason):
        from_timm.image_spec({"pretrained_cfg": published | changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architecture": "test_convnex"}, "timm has no network 'test_convnex'; the nearest is t"),
        ({"architecture": "hf-hub:a/b"}, "timm has no network 'hf-hub:a/b'; the nearest is"),
        ({"architecture": ["resnet18"]}, "config.json: expected string"),
        ({"architecture": "deit_tiny_distilled_patch16_224"}, "_224 cannot be built for images of"),
        ({"architecture": "dla34"}, "dla34 cannot be used: its classifier is not one linear lay"),
        ({"architecture": "resnet18"}, "it has no head"),
        # 4.4 billion parameters: built, they would fill the memory.
        ({"architecture": "eva02_enormous_patch14_clip_224", "model_args": {}}, "it has no head"),
        ({"architecture": "convnext_xxlarge", "model_args": {}}, "the weights lack "),
        ({"num_classes": 10**6}, "3 class names for 1000000 logits"),
        (
            {"num_classes": 10**6, "label_names": None},
            r"head\.fc\.weight has shape \(3, 64\), not \(1000000, 64\)",
        ),
        (
            {"model_args": {"depths": [9] * 99}},
            r"config.json: model_args depths = .* not supported",
        ),
        (
            {"model_args": {"act_layer": 7}},
            "config.json: model_args act_layer = 7 is not supported",
        ),
        ({"model_args": {"act_layer": "os.system"}}, "test_convnext cannot be built for images of"),
        ({"model_args": {"pretrained": "x"}}, "model_args pretrained = 'x' is not supported"),
        ({"model_args": 3}, "config.json: "),
        ({"label_names": ["a", "b"]}, "2 class names for 3 logits"),
    ],
)
def test_what_is_not_supported_is_one_clear_line(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    folder = save(build("test_convnext"), tmp_path, **changes)
    with pytest.raises(ModelError, match=reason) as caught:
        load_pretrained(str(folder))
    assert "\n" not in str(caught.value)


def test_a_size_that_the_network_cannot_take(tmp_path: Path) -> None:
    folder = save(build("test_maxvit"), tmp_path)
    with pytest.raises(ModelError, match=r"test_maxvit cannot .* images of \(100, 100\) pixels"):
        load_pretrained(str(folder), image_size=100)
    with pytest.raises(ModelError, match=r"image_size must be .* from 1 to 2,048, not 5000"):
        load_pretrained(str(folder), image_size=5000)


def test_a_network_without_its_head(tmp_path: Path) -> None:
    network = build("test_convnext")
    folder = save(network, tmp_path, num_classes=0)
    state = load_file(folder / "model.safetensors")
    save_file({n: t for n, t in state.items() if "head.fc" not in n}, folder / "model.safetensors")
    loaded = load_pretrained(str(folder), num_classes=4).network
    x = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(x), pre_logits=True)
        torch.testing.assert_close(loaded.features(x), expected, rtol=0, atol=1e-5)
        assert torch.equal(loaded(x), torch.zeros(2, 4))
    with pytest.raises(ModelError, match="it has no head: give the number of classes"):
        load_pretrained(str(folder))


def test_without_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(build("test_convnext"), tmp_path)
    monkeypatch.setitem(sys.modules, "timm", None)
    line = r"^test_convnext, a network of timm, needs an extra: pip install 'foodvision\[timm\]'$"
    with pytest.raises(MissingExtraError, match=line):
        load_pretrained(str(folder))
