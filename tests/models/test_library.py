"""torchvision's classifiers with foodvision's head: all of them, their logits, and saving them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import EfficientNet_B2_Weights, get_model, get_model_weights, list_models

from foodvision.classifier.describe import describe
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import ModelError
from foodvision.images import ImageSpec
from foodvision.images.transforms import open_pixels, prepare
from foodvision.models.library import LibraryNetwork, network_names
from foodvision.models.library_config import LibraryConfig
from foodvision.models.network import Network, build_network
from foodvision.weights.checkpoint import Checkpoint
from foodvision.weights.from_torchvision import (
    current_tensors,
    image_spec,
    network_name,
    published_weights,
    weight_name,
)
from foodvision.weights.library_layout import LIBRARY_CLASSIFIER
from foodvision.weights.source import load_pretrained
from tests.conftest import build_torchvision_classifier, draw_pattern


def build_torchvision(name: str) -> nn.Module:
    """A torchvision network that behaves as if trained: no batch normalisation is the identity."""
    torch.manual_seed(0)
    network = get_model(name, weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            module.num_batches_tracked.fill_(7)
    head = list(network.modules())[-1]
    nn.init.normal_(head.weight)
    return network.eval()


def read_torchvision(name: str, network: nn.Module, size: int) -> Network:
    tensors = current_tensors(name, network.state_dict())
    config = LibraryConfig(name, size)
    checkpoint = Checkpoint(LIBRARY_CLASSIFIER, tensors, config, ImageSpec(size))
    return checkpoint.build().network


def assert_same_logits(
    network: nn.Module, reference: Callable[[Tensor], Tensor], size: int
) -> None:
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected = reference(x)
        scale = expected.std()
        assert scale > 1e-3  # otherwise nothing was compared
        torch.testing.assert_close(network(x) / scale, expected / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", network_names())
def test_every_network_has_the_published_number_of_parameters(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not name.startswith(("alexnet", "vgg")):  # other families are built whole elsewhere
        monkeypatch.setattr(LibraryNetwork, "_check_size", lambda network: None)  # half of the time
    network = build_network(LibraryConfig(name), empty=True)
    count = sum(weight.numel() for weight in network.parameters())
    added = 1000 if name == "maxvit_t" else 0  # the bias of the new head
    for weights in get_model_weights(name):
        assert count == weights.meta["num_params"] + added
    held = [id(weight) for stage in network.stages() for weight in stage.parameters()]
    heads = {id(weight) for weight in network.head.parameters()}
    assert sorted(held) == sorted({id(weight) for weight in network.parameters()} - heads)
    assert 4 <= len(network.stages()) <= 50
    assert not any(isinstance(module, nn.Dropout) for module in [*network.body.modules()][-2:])
    loaded = network.state_dict().keys()  # tensors that are not in a file must not be empty
    assert not any(b.is_meta for name, b in network.named_buffers() if name not in loaded)


@pytest.mark.parametrize(
    ("name", "count", "dropout"),
    [
        ("efficientnet_b2", 7_705_221, 0.3),
        ("mobilenet_v3_small", 1_520_931, 0.2),
        ("resnet18", 11_178_051, 0.0),
    ],
)
def test_three_classes(name: str, count: int, dropout: float) -> None:
    network = LibraryNetwork(LibraryConfig(name, 64, num_classes=3))
    assert sum(weight.numel() for weight in network.parameters()) == count
    assert network.dropout.p == dropout
    assert torch.equal(network(torch.randn(2, 3, 64, 64)), torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("efficientnet_b2", 96),
        ("mobilenet_v3_small", 64),
        ("resnet18", 64),
        ("convnext_tiny", 64),
        ("densenet121", 64),
        ("mnasnet0_5", 64),
        ("regnet_y_400mf", 64),
        ("shufflenet_v2_x0_5", 64),
        ("swin_t", 64),
        ("swin_v2_t", 64),
        ("maxvit_t", 224),
    ],
)
def test_logits_equal_torchvision(name: str, size: int) -> None:
    network = build_torchvision(name)
    assert_same_logits(read_torchvision(name, network, size), network, size)


def test_initial_random_weights_equal_torchvision() -> None:
    torch.manual_seed(3)
    expected = get_model("mobilenet_v3_small", weights=None).state_dict()
    torch.manual_seed(3)
    body = LibraryNetwork(LibraryConfig("mobilenet_v3_small")).body.state_dict()
    assert expected.keys() - body.keys() == {"classifier.3.weight", "classifier.3.bias"}
    for name, tensor in body.items():
        assert torch.equal(tensor, expected[name]), name


def test_dropout_belongs_to_the_head() -> None:
    network = LibraryNetwork(LibraryConfig("mobilenet_v3_small", 64, 5))
    nn.init.normal_(network.head.weight)
    x = torch.randn(4, 3, 64, 64)
    assert network.training
    assert torch.equal(network.features(x), network.features(x))
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network.head(network.features(x)))


def test_logits_are_float32_under_autocast() -> None:
    network = LibraryNetwork(LibraryConfig("resnet18", 64, 5)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        x = torch.randn(1, 3, 64, 64)
        assert network.features(x).dtype == torch.bfloat16
        assert network(x).dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("efficientnetb2", 288, "no network 'efficientnetb2'; the nearest is efficientnet_b2"),
        ("", 288, "torchvision has no network ''; the nearest is"),
        ("vit_b_16", 224, "vit_b_16 is the paper's network, which foodvision has itself: ask"),
        ("squeezenet1_1", 224, "squeezenet1_1 cannot be used: its last layer is a convolution"),
        ("googlenet", 224, "googlenet cannot be used: in training it returns more than"),
        ("inception_v3", 299, "inception_v3 cannot be used: in training it returns more"),
        ("alexnet", 32, r"alexnet cannot take images of \(32, 32\) pixels"),
        ("maxvit_t", (224, 256), r"maxvit_t cannot take images of \(224, 256\) pixels"),
        ("resnet18", 0, "image_size must be a whole number from 1 to 2,048, not 0"),
    ],
)
def test_impossible_settings_are_one_clear_line(
    name: str, size: int | tuple[int, int], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        LibraryNetwork(LibraryConfig(name, size, 3))
    assert "\n" not in str(caught.value)


def test_every_network_of_torchvision_is_used_or_refused() -> None:
    refused = set(list_models(torchvision.models)) - set(network_names())
    assert {re.sub(r"[\d_].*", "", name) for name in refused} == {
        "googlenet",
        "inception",
        "squeezenet",
        "vit",
    }


def test_all_published_weights_have_a_spec_and_classes() -> None:
    names = set()
    for weights in published_weights():
        transform, spec = weights.transforms(), image_spec(weights)
        assert [spec.height, spec.width] == transform.crop_size * 2
        assert [spec.resize_size] == transform.resize_size
        assert transform.antialias
        assert len(weights.meta["categories"]) == 1000
        names.add(network_name(weights))
        assert weight_name(weights) == f"{network_name(weights)}/{weights.name}"
    assert {name for name in names if not name.startswith("vit_")} == set(network_names())


@pytest.mark.parametrize("size", [(300, 500), (480, 320), (288, 288)])
def test_images_are_prepared_as_published(size: tuple[int, int]) -> None:
    weights = EfficientNet_B2_Weights.IMAGENET1K_V1
    spec = image_spec(weights)
    assert spec == ImageSpec(
        288, "crop", 288, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )
    # Without black and white: where bicubic overshoots, the two resizes clip differently.
    image = open_pixels(draw_pattern("dots", 1, size), spec) // 2 + 64
    one_grey_level = 1 / 255 / 0.224  # torchvision's presets resize in float32, foodvision in uint8
    torch.testing.assert_close(
        prepare(image, spec), weights.transforms()(image), rtol=0, atol=1.01 * one_grey_level
    )


def old_resnet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As in files saved before batch normalisation counted its batches."""
    return {name: tensor for name, tensor in state.items() if "num_batches" not in name}


def old_densenet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    pattern = r"(denselayer\d+\.(?:norm|conv))([12])"
    old = {re.sub(pattern, r"\1.\2", name): t for name, t in old_resnet(state).items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    return old


@pytest.mark.parametrize(
    ("name", "file", "published"),
    [
        ("resnet18", "resnet18-f37072fd.pth", old_resnet),
        ("densenet121", "densenet121-a639ec97.pth", old_densenet),
    ],
)
def test_old_published_files_are_known_by_name(
    name: str,
    file: str,
    published: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    tmp_path: Path,
) -> None:
    network = build_torchvision(name)
    torch.save(published(network.state_dict()), tmp_path / file)
    loaded = load_pretrained(str(tmp_path / file))
    assert loaded.classes is not None
    assert loaded.classes[963] == "pizza"
    assert_same_logits(loaded.network, network, 224)


RESNET = "resnet18-f37072fd.pth"


def test_another_head_and_resolution(tmp_path: Path) -> None:
    network = build_torchvision("resnet18")
    torch.save(network.state_dict(), tmp_path / RESNET)
    loaded = load_pretrained(str(tmp_path / RESNET), num_classes=3, image_size=(64, 96))
    assert loaded.network.config == LibraryConfig("resnet18", (64, 96), 3)
    assert (loaded.spec.size, loaded.spec.resize_size, loaded.classes) == ((64, 96), 110, None)
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(loaded.network(x), torch.zeros(2, 3))
        network.fc = nn.Identity()
        torch.testing.assert_close(loaded.network.features(x), network(x))
    assert all(weight.requires_grad for weight in loaded.network.parameters())
    with pytest.raises(ModelError, match=r"image_size must be .* not 0"):
        load_pretrained(str(tmp_path / RESNET), image_size=0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: {n: t for n, t in s.items() if n != "layer1.0.bn1.bias"}, "lack layer1.0.bn1.b"),
        (lambda s: {n: t for n, t in s.items() if n != "fc.bias"}, "lack fc.bias"),
        (
            lambda s: s | {"aux.bias": s["fc.bias"]},
            "hold aux.bias, which the network",
        ),
        (
            lambda s: s | {"fc.weight": s["fc.weight"][:5]},
            r"fc\.weight has shape \(5, 512\), not \(1000, 512\)",
        ),
        (
            lambda s: s | {"fc.bias": torch.arange(1000)},
            r"fc\.bias holds torch\.int64, not torch\.float32",
        ),
    ],
)
def test_every_tensor_is_accounted_for(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]], reason: str, tmp_path: Path
) -> None:
    torch.save(change(dict(build_torchvision("resnet18").state_dict())), tmp_path / RESNET)
    with pytest.raises(ModelError, match=reason):
        load_pretrained(str(tmp_path / RESNET))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mnasnet0_5", "swin_t"])
def test_saving_and_loading_changes_nothing(name: str, tmp_path: Path) -> None:
    classifier = build_torchvision_classifier(name, ImageSpec((64, 96), "pad"))
    image = draw_pattern("waves", 2)
    for buffer_name, buffer in classifier.network.named_buffers():
        if buffer_name.endswith("num_batches_tracked"):
            buffer.fill_((1 << 24) + 1)  # more than float32 can count
    before = classifier.predict(image)
    classifier.save(tmp_path)
    loaded, source = TorchClassifier.load(tmp_path, "cpu"), load_pretrained(str(tmp_path))
    assert loaded.network.config == source.network.config == classifier.network.config
    assert loaded.spec == source.spec == classifier.spec
    assert loaded.classes == source.classes == classifier.classes
    for key, tensor in classifier.network.state_dict().items():
        for state in (loaded.network.state_dict(), source.network.state_dict()):
            assert state[key].dtype == tensor.dtype
            assert torch.equal(state[key], tensor), key
    assert loaded.predict(image).probabilities == pytest.approx(before.probabilities, 1e-5)
    new = load_pretrained(str(tmp_path), num_classes=7).network
    assert new(torch.randn(1, 3, 64, 96)).shape == (1, 7)


def test_the_folder_describes_the_model(tmp_path: Path) -> None:
    classifier = build_torchvision_classifier("mobilenet_v3_small")
    classifier.save(tmp_path)
    line = "network    torchvision's mobilenet_v3_small; 1,520,931 parameters"
    assert describe(tmp_path).splitlines()[0] == line
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "foodvision"
    assert LibraryConfig(**config["network"]) == LibraryConfig("mobilenet_v3_small", 64, 3)
    card = (tmp_path / "README.md").read_text()
    assert "Network: torchvision's mobilenet_v3_small; 1,520,931 parameters" in card
    assert "transformers cannot express this network" in card
    assert "ision-" not in card.replace("foodvision", "")


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (
            {"name": "resnet17"},
            "torchvision has no network 'resnet17'; the nearest is resnet18",
        ),
        ({"name": "squeezenet1_0"}, "squeezenet1_0 cannot be used: its last layer"),
        ({"name": "resnet34"}, r"the weights lack body\.layer1\.2"),
        ({"name": "alexnet", "image_size": 8}, r"alexnet cannot take images of \(8, 8\) pixels"),
        ({"depth": 18}, "a value is wrong .*depth"),
    ],
)
def test_broken_folders_are_one_clear_line(
    network: dict[str, object], reason: str, tmp_path: Path
) -> None:
    build_torchvision_classifier("resnet18").save(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"network": config["network"] | network}))
    with pytest.raises(ModelError, match=reason) as caught:
        TorchClassifier.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_non_integer_counters_are_refused(tmp_path: Path) -> None:
    build_torchvision_classifier("resnet18").save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["body.bn1.num_batches_tracked"] = torch.tensor(0.5)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"bn1\.num_batches_tracked holds torch\.float32, not"):
        TorchClassifier.load(tmp_path)


def test_loading_draws_no_random_number(tmp_path: Path) -> None:
    build_torchvision_classifier("resnet18").save(tmp_path)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    TorchClassifier.load(tmp_path)
    assert torch.rand(1).equal(expected)
