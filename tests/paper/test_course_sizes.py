from __future__ import annotations

from pathlib import Path

import pytest

from foodvision.data import load_dataset
from foodvision.images import ImageSpec
from foodvision.models.config import ViTConfig
from foodvision.paper import course_sizes
from foodvision.paper.course_sizes import count_sizes, measure_times


def test_parameters_are_the_courses() -> None:
    figures = {figure.name: figure for figure in count_sizes()}
    counts = [figure for name, figure in figures.items() if name.endswith("parameters")]
    assert len(counts) == 9
    for figure in counts:
        layer_norm = 2 * 768 * ("at 384 px" in figure.name)
        assert figure.ours + layer_norm == figure.original, figure.name
        assert bool(figure.why) == bool(layer_norm)
    assert figures["ViT-B/16, 3 classes: MB"].ours == pytest.approx(343.2, abs=0.1)
    assert figures["ViT-B/16, 3 classes: MB"].ours * 1e6 // 2**20 == 327
    assert figures["EfficientNet-B2, 3 classes: MB"].ours * 1e6 // 2**20 == 29


def test_times_and_their_ratio(patterns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two small ViTs."""
    sizes = {"ViT-B/16": 64, "EfficientNet-B2": 16}
    monkeypatch.setattr(
        course_sizes,
        "build_config",
        lambda name, n: ViTConfig.named("vit_ti8", image_size=sizes[name], num_classes=n),
    )
    specs = {name: ImageSpec(size) for name, size in sizes.items()}
    monkeypatch.setattr(course_sizes, "_SPECS", specs)
    examples = load_dataset(patterns).splits["test"][:5]
    effnet, vit, ratio = measure_times(examples, "cpu")
    assert (effnet.original, vit.original) == (0.0269, 0.0641)
    assert min(effnet.ours, vit.ours) > 0
    assert ratio.ours == vit.ours / effnet.ours
    assert ratio.original == pytest.approx(2.38, abs=0.01)
    assert "5 images" in vit.why
