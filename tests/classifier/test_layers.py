from __future__ import annotations

from pathlib import Path

import pytest

from foodvision.classifier.classifier import Classifier
from foodvision.classifier.layers import layer_table
from tests.conftest import build_classifier, build_torchvision_classifier


@pytest.mark.parametrize(
    "build", [build_classifier, lambda: build_torchvision_classifier("resnet18")]
)
def test_every_parameter_is_counted(build, tmp_path: Path) -> None:
    classifier: Classifier = build()
    classifier.save(tmp_path)
    table = layer_table(tmp_path)
    (total,) = [line for line in table.splitlines() if line.startswith("Total params:")]
    assert int(total.split()[-1].replace(",", "")) == classifier.info.parameters
    assert "Linear" in table
    assert "not counted" in table
