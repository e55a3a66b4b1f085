from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foodvision.errors import ModelError
from foodvision.images import ImageSpec
from foodvision.models.config import ViTConfig
from foodvision.models.vit import ViT
from foodvision.paper import figures
from foodvision.paper.figures import (
    attention_distance,
    draw_figures,
    mean_distance,
    patch_components,
    position_similarity,
)
from tests.conftest import build_classifier, build_torchvision_classifier, draw_pattern

CONFIG = ViTConfig(
    image_size=(16, 24),
    patch_size=8,
    num_layers=2,
    hidden_size=40,
    mlp_size=8,
    num_heads=4,
    num_classes=3,
)


def test_components_span_the_directions_that_the_filters_vary_in() -> None:
    """Filters made of two patterns, one of them stronger, and a mean that is no component."""
    random = np.random.default_rng(0)
    patterns, _ = np.linalg.qr(random.normal(size=(192, 2)))
    amounts = random.normal(size=(40, 2)) * [3.0, 1.0]
    amounts -= amounts.mean(axis=0)
    amounts[:, 1] -= amounts[:, 0] * (amounts[:, 0] @ amounts[:, 1]) / (amounts[:, 0] ** 2).sum()
    vit = ViT(CONFIG)
    filters = amounts @ patterns.T + random.normal(size=192)
    with torch.no_grad():
        vit.embedding.E.weight.copy_(torch.from_numpy(filters))

    found = patch_components(vit, 2)

    assert found.filters.shape == (2, 3, 8, 8)
    assert found.share == pytest.approx(1, abs=1e-6)
    cosines = found.filters.reshape(2, -1) @ patterns
    np.testing.assert_allclose(np.abs(cosines), np.eye(2), atol=1e-5)
    for component in found.filters:
        assert component.flat[np.abs(component).argmax()] > 0
    one = patch_components(vit, 1)
    variances = (amounts**2).sum(axis=0)
    assert one.share == pytest.approx(variances[0] / variances.sum(), rel=1e-5)


def test_a_component_is_laid_out_as_the_patches_are() -> None:
    """A filter that sees one pixel of one channel: its component is that pixel."""
    vit = ViT(CONFIG)
    x = torch.zeros(1, 3, 16, 24)
    x[0, 1, 2, 5] = 1  # channel 1, row 2, column 5 of the first patch
    with torch.no_grad():
        vit.embedding.E.weight.zero_()
        vit.embedding.E.weight[7] = vit.embedding.patches(x)[0, 0]
    (component,) = patch_components(vit, 1).filters
    assert component[1, 2, 5] == pytest.approx(1)
    assert np.count_nonzero(np.abs(component) > 1e-6) == 1


def test_similarity_is_the_cosine_and_leaves_the_class_token_out() -> None:
    vit = ViT(CONFIG)
    with torch.no_grad():
        vit.embedding.E_pos.normal_()
    similarity = position_similarity(vit)
    assert similarity.shape == (2, 3, 2, 3)
    E_pos = vit.embedding.E_pos[0].detach().numpy()
    a, b = E_pos[1 + 1 * 3 + 2], E_pos[1 + 0 * 3 + 1]  # row 1, column 2; row 0, column 1
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert similarity[1, 2, 0, 1] == pytest.approx(cosine, rel=1e-5)
    assert similarity[0, 1, 1, 2] == pytest.approx(cosine, rel=1e-5)
    assert similarity[1, 2, 1, 2] == pytest.approx(1)


def test_distance_of_attention_that_is_known() -> None:
    """One head looks at itself, one at the patch to the right, one everywhere; 2 × 3 patches."""
    N = 6
    right = torch.zeros(N, N)
    for i in range(N):
        right[i, i + 1 if i % 3 < 2 else i - 1] = 1
    everywhere = torch.full((N, N), 1 / N)
    patches = torch.stack([torch.eye(N), right, everywhere])[None]
    places = [(row, column) for row in range(2) for column in range(3)]
    mean = sum(math.dist(a, b) for a in places for b in places) / N**2
    expected = torch.tensor([[0, 8, 8 * mean]])
    torch.testing.assert_close(mean_distance(patches, (2, 3), 8), expected)
    # A class token that takes half of the attention, and asks itself, changes nothing.
    A = torch.full((1, 3, N + 1, N + 1), 0.5)
    A[..., 1:, 1:] = patches / 2
    torch.testing.assert_close(mean_distance(A, (2, 3), 8), expected)


def test_distance_is_the_mean_over_the_images() -> None:
    classifier = build_classifier(ImageSpec((16, 24)))
    images = [draw_pattern("dots", 0), draw_pattern("waves", 1)]
    each = [attention_distance(classifier, [image]) for image in images]
    assert each[0].shape == (2, 3)
    assert not np.allclose(each[0], each[1])
    np.testing.assert_allclose(attention_distance(classifier, images), (each[0] + each[1]) / 2)


def test_all_figures_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = build_classifier(ImageSpec((32, 48)))
    classifier.save(tmp_path / "model")
    photo = tmp_path / "photo.png"
    draw_pattern("stripes", 0).save(photo)

    found = draw_figures(str(tmp_path / "model"), [photo] * 4, tmp_path / "out", "cpu")

    assert [file.name for file in found.files] == [
        "figure6_attention.png",
        "figure7_left_filters.png",
        "figure7_centre_positions.png",
        "figure7_right_distance.png",
    ]
    for file in found.files:
        with Image.open(file) as image:
            assert np.asarray(image.convert("L")).std() > 5
    assert found.components == 23  # of 24 filters
    assert np.shape(found.attention_distance) == (2, 3)
    assert found.similarity_by_distance[0] == pytest.approx(1)
    assert len(found.similarity_by_distance) == 7  # √(3² + 5²) = 5.8 patches at most
    places = [(8 * row, 8 * column) for row in range(4) for column in range(6)]
    apart = [math.dist(a, b) for a in places for b in places]
    assert found.uniform_distance == pytest.approx(sum(apart) / 24**2, rel=1e-5)
    assert (found.images, found.on_drawings) == (4, False)
    assert "on 4 images" in found.summary()
    monkeypatch.setattr(figures, "DRAWINGS", 2)
    monkeypatch.setattr(figures, "plot_attention", lambda found, path: None)
    monkeypatch.setattr(figures, "plot_similarity", lambda found, path: None)
    found = draw_figures(str(tmp_path / "model"), [], tmp_path / "drawn", "cpu")
    assert "on 2 drawings, because no images were given" in found.summary()


def test_a_cnn_has_no_such_figures(tmp_path: Path) -> None:
    build_torchvision_classifier("resnet18").save(tmp_path)
    with pytest.raises(ModelError, match=r"resnet18.* are of a Vision Transformer"):
        draw_figures(str(tmp_path), [], tmp_path / "out")
    with pytest.raises(ModelError, match="nosuch: no such file or folder"):
        draw_figures("nosuch", [], tmp_path / "out")
