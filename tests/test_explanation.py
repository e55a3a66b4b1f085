from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from foodvision import explain
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import ModelError
from foodvision.explanation import attention_rollout
from foodvision.images import ImageSpec
from foodvision.models.library import LibraryNetwork
from foodvision.models.library_config import LibraryConfig
from tests.conftest import CLASSES, build_classifier, build_torchvision_classifier, draw_pattern


def test_rollout_is_the_product_of_the_layers_and_conserves_attention() -> None:
    torch.manual_seed(0)
    A = torch.rand(3, 2, 4, 5, 5).softmax(dim=-1)
    flow = attention_rollout(A)
    for b in range(2):
        naive = torch.eye(5)
        for layer in range(3):
            mean = sum(A[layer, b, head] for head in range(4)) / 4
            naive = (0.5 * mean + 0.5 * torch.eye(5)) @ naive
        torch.testing.assert_close(flow[b], naive)
    torch.testing.assert_close(flow.sum(dim=-1), torch.ones(2, 5))


@pytest.mark.parametrize("pooling", ["class_token", "average"])
def test_a_vit_has_a_map_and_one_for_each_head(pooling: str) -> None:
    classifier = build_classifier(ImageSpec((32, 48)), pooling=pooling)
    image = draw_pattern("dots", 0, (60, 50))

    found = explain(classifier, image)

    assert found.method == "attention rollout"
    assert found.image.shape == (32, 48, 3)
    assert found.map.shape == (32, 48)
    assert found.heads is not None
    assert found.heads.shape == (3, 32, 48)
    assert found.map.max() == 1
    assert found.map.min() >= 0
    answer = classifier.predict(image)
    assert (found.label, pytest.approx(found.probability)) == (answer.label, answer.probability)


def test_padding_is_no_part_of_the_maps() -> None:
    classifier = build_classifier(ImageSpec(32, "pad"))
    found = explain(classifier, draw_pattern("dots", 0, (20, 40)))
    assert found.image.shape == (16, 32, 3)
    assert found.map.shape == (16, 32)


def test_grad_cam_points_at_the_only_thing_that_counts() -> None:
    """Red in one quarter of the image; the head sees nothing but the strongest red channel."""
    classifier = build_torchvision_classifier("resnet18", ImageSpec(64, "squash"))
    network = classifier.network
    assert isinstance(network, LibraryNetwork)
    # The body is replaced by a pooled red channel: then Grad-CAM must be that channel itself.
    red = nn.Conv2d(3, 512, 1, bias=False)
    nn.init.zeros_(red.weight)
    red.weight.data[0, 0] = 1.0
    network.body = nn.Sequential(red, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.zeros_(network.head.weight)
    network.head.weight.data[1, 0] = 1.0
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[40:60, 4:24, 0] = 255

    found = explain(classifier, Image.fromarray(pixels))

    assert found.method == "Grad-CAM"
    assert found.heads is None
    assert found.label == CLASSES[1]
    assert found.map[40:60, 4:24].min() == 1
    assert found.map.sum() == 20 * 20


def test_a_frozen_network_has_a_grad_cam_and_weak_evidence_is_scaled_too() -> None:
    classifier = build_torchvision_classifier("resnet18")
    image = draw_pattern("dots", 0)
    found = explain(classifier, image)
    network = classifier.network.requires_grad_(False)
    np.testing.assert_array_equal(explain(classifier, image).map, found.map)
    network.head.weight *= 1e-20
    assert explain(classifier, image).map.max() == 1


@pytest.mark.parametrize("name", ["resnet18", "swin_t"])
def test_reading_the_feature_map_changes_no_feature(name: str) -> None:
    network = build_torchvision_classifier(name).network
    assert isinstance(network, LibraryNetwork)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        A, y = network.feature_map(x)
        torch.testing.assert_close(y, network.features(x), rtol=1e-5, atol=1e-5)
    assert A.shape == (1, network.head.in_features, 2, 2)


def test_a_network_of_tokens_has_no_map() -> None:
    pytest.importorskip("timm")
    config = LibraryConfig("mixer_s32_224", 224, 3, library="timm")
    classifier = TorchClassifier(LibraryNetwork(config), ImageSpec(224), CLASSES)
    with pytest.raises(ModelError, match="mixer_s32_224 has no feature map"):
        explain(classifier, draw_pattern("dots", 0))
