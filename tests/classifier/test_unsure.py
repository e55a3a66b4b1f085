from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from foodvision.classifier.describe import describe
from foodvision.classifier.info import Calibration
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.classifier.unsure import Unsure
from foodvision.errors import ModelError
from tests.conftest import build_classifier

D, K = 24, 3


def build_unsure() -> Unsure:
    principal = torch.linalg.qr(torch.randn(D, 4, generator=torch.Generator().manual_seed(0)))[0]
    principal = principal.contiguous()
    return Unsure(torch.ones(D), principal, 0.5, 0.25, 7.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    classifier = build_classifier()
    classifier.unsure = build_unsure()
    classifier.save(tmp_path)
    return tmp_path


def test_the_score_is_that_of_the_formula() -> None:
    unsure, random = build_unsure(), np.random.default_rng(0)
    y, logits = random.normal(size=(5, D)), random.normal(size=(5, K))
    P = unsure.principal.double().numpy()
    outside = np.linalg.norm((y - 1) @ (np.eye(D) - P @ P.T), axis=1)
    centred = logits - logits.mean(axis=1, keepdims=True)
    expected = 0.5 * outside - np.log(np.exp(centred).sum(axis=1))
    actual = unsure(torch.from_numpy(y).float(), torch.from_numpy(logits).float())
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-5)


def test_the_file_gives_the_same_back(folder: Path) -> None:
    loaded, saved = TorchClassifier.load(folder, "cpu").unsure, build_unsure()
    assert (loaded.scale, loaded.min_probability, loaded.max_distance) == (0.5, 0.25, 7.0)
    assert torch.equal(loaded.principal, saved.principal)
    assert torch.equal(loaded.origin, saved.origin)


def damaged(name: str) -> dict[str, Tensor]:
    good = dict(build_unsure().named_buffers()) | {"numbers": torch.tensor([0.5, 0.25, 7.0])}
    nan = float("nan")
    return (
        good
        | {
            "nan": {"origin": torch.full((D,), nan)},
            "nan limit": {"numbers": torch.tensor([0.5, 0.25, nan])},
            "other network": {"origin": torch.ones(D + 1)},
            "another tensor": {"extra": torch.ones(3)},
            "too wide": {"principal": torch.ones(D, D + 1)},
            "empty": {"principal": torch.ones(D, 0)},
            "scalar": {"principal": torch.tensor(1.0)},
            "integers": {"origin": torch.ones(D, dtype=torch.int64)},
            "probability": {"numbers": torch.tensor([0.5, 1.5, 7.0])},
            "scale": {"numbers": torch.tensor([-0.5, 0.5, 7.0])},
            "huge": {"principal": torch.ones(D, 100_000)},
        }[name]
    )


@pytest.mark.parametrize(
    "name",
    [
        *("nan", "nan limit", "other network", "another tensor", "too wide", "empty", "scalar"),
        *("integers", "probability", "scale", "huge"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(name: str, folder: Path) -> None:
    save_file(damaged(name), folder / "unsure.safetensors")
    with pytest.raises(ModelError, match=r"unsure\.safetensors") as error:
        TorchClassifier.load(folder, "cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 8 + b"{}"])
def test_a_damaged_file_is_one_line(content: bytes, folder: Path) -> None:
    (folder / "unsure.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"unsure\.safetensors"):
        TorchClassifier.load(folder, "cpu")


def test_a_missing_tensor_is_one_line(folder: Path) -> None:
    tensors = load_file(folder / "unsure.safetensors")
    del tensors["principal"]
    save_file(tensors, folder / "unsure.safetensors")
    with pytest.raises(ModelError, match="does not belong"):
        TorchClassifier.load(folder, "cpu")


def test_a_score_that_is_no_number_is_not_sure() -> None:
    classifier = build_classifier()
    classifier.unsure = build_unsure()
    image = np.zeros((32, 32, 3), dtype=np.uint8)
    assert classifier.predict(Image.fromarray(image)).sure is not None
    classifier.unsure.scale = float("nan")
    assert classifier.predict(Image.fromarray(image)).sure is False


def test_info_and_card_say_how_sure_it_is(folder: Path) -> None:
    classifier = TorchClassifier.load(folder, "cpu")
    assert "does not say" not in describe(folder)
    assert "not calibrated" in (folder / "README.md").read_text()
    calibration = Calibration(
        temperature=1.5, n=9, log_loss_before=0.9, log_loss_after=0.8, ece_before=0.2, ece_after=0.1
    )
    classifier.info = classifier.info.model_copy(update={"calibration": calibration})
    classifier.unsure = None
    classifier.save(folder)
    assert "temperature 1.500" in describe(folder)
    assert "does not say when it is not sure" in describe(folder)
    assert "T = 1.500" in (folder / "README.md").read_text()
    assert not (folder / "unsure.safetensors").exists()
    assert TorchClassifier.load(folder, "cpu").info.calibration == calibration


def test_files_of_two_calibrations_are_not_mixed(folder: Path) -> None:
    """A run that is killed between two files neither scales the head twice nor keeps old limits."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    classifier = TorchClassifier.load(folder, "cpu")
    with torch.no_grad():
        classifier.network.head.weight.div_(1.5)
    calibration = Calibration(
        temperature=1.5, n=9, log_loss_before=0.9, log_loss_after=0.8, ece_before=0.2, ece_after=0.1
    )
    classifier.info = classifier.info.model_copy(update={"calibration": calibration})
    classifier.save(folder)
    (folder / "config.json").write_bytes(before["config.json"])
    assert TorchClassifier.load(folder, "cpu").info.calibration == calibration
    (folder / "model.safetensors").write_bytes(before["model.safetensors"])
    loaded = TorchClassifier.load(folder, "cpu")
    assert loaded.info.calibration is None
    assert loaded.unsure is None
