from __future__ import annotations

from pathlib import Path

import pytest
import torch

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.classifier.unsure import Unsure
from foodvision.export.export import export
from tests.conftest import build_classifier


def build_unsure_classifier() -> TorchClassifier:
    classifier = build_classifier()
    D = classifier.network.head.in_features
    principal, _ = torch.linalg.qr(torch.randn(D, 5))
    classifier.unsure = Unsure(torch.randn(D), principal, 0.3, 0.5, 1.0)
    return classifier


@pytest.fixture(scope="session")
def trained() -> TorchClassifier:
    torch.manual_seed(0)
    return build_unsure_classifier()


@pytest.fixture(scope="session")
def exported(trained: TorchClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In both formats, checked on drawings."""
    out = tmp_path_factory.mktemp("export") / "exported"
    export(trained, ["onnx", "openvino"], out)
    return out
