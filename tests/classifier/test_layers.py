from __future__ import annotations

from pathlib import Path

import pytest

from foodvision.classifier.layers import layer_table
from foodvision.classifier.torch_classifier import TorchClassifier
from tests.conftest import build_classifier, build_torchvision_classifier


@pytest.mark.parametrize(
    "build", [build_classifier, lambda: build_torchvision_classifier("resnet18")]
)
def test_every_parameter_is_counted(build, tmp_path: Path) -> None:
    classifier: TorchClassifier = build()
    classifier.save(tmp_path)
    table = layer_table(tmp_path)
    (total,) = [line for line in table.splitlines() if line.startswith("Total params:")]
    assert int(total.split()[-1].replace(",", "")) == classifier.info.parameters
    assert "Linear" in table


def test_multiply_adds_are_those_of_the_equations(
    classifier: TorchClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path)
    N, D, mlp, K, P = 16, 24, 48, 3, 8
    n = N + 1
    layer = 4 * n * D * D + 2 * n * n * D + 2 * n * D * mlp  # q, k, v and U_msa; q kᵀ and A v; MLP
    # Of the last layer, only the class token is read: k and v of all, and the rest of one.
    last = 2 * n * D * D + 2 * D * D + 2 * n * D + 2 * D * mlp
    expected = N * 3 * P * P * D + layer + last + D * K
    table = layer_table(tmp_path)
    (total,) = [line for line in table.splitlines() if line.startswith("Total mult-adds")]
    assert total.startswith("Total mult-adds (M): ")
    assert float(total.split()[-1]) == pytest.approx(expected / 1e6, abs=0.005)
