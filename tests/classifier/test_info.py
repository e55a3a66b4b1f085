"""A model's description, read from its folder alone and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from foodvision.classifier.describe import describe
from foodvision.classifier.info import Measured, ModelInfo, TrainingData
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import ModelError
from foodvision.images.spec import ImageSpec
from tests.conftest import build_classifier, build_torchvision_classifier

INFO = ModelInfo(
    metrics=Measured(
        n=40,
        log_loss=0.25,
        accuracy=0.9,
        accuracy_ci95=(0.8, 0.95),
        ece=0.02,
        precision="float32",
        chosen="the best epoch",
    ),
    data=TrainingData(name="photos", train=100, validation=40, unreadable=1, fingerprint="ab"),
    training="3 epochs, seed 0",
    recipe={"epochs": 3},
)


def saved(folder: Path, classifier: TorchClassifier) -> Path:
    TorchClassifier(classifier.network, classifier.spec, classifier.classes, INFO).save(folder)
    return folder


def test_description(tmp_path: Path) -> None:
    classifier = build_classifier()
    count = sum(parameter.numel() for parameter in classifier.network.parameters())
    assert describe(saved(tmp_path / "m", classifier)).splitlines() == [
        f"network    ViT of 2 layers, hidden size 24, 3 heads, patch 8; {count:,} parameters",
        "input      32 × 32 px, crop, bilinear",
        "classes    3: dots, stripes, waves",
        "training   100 images of photos, 3 epochs, seed 0",
        "measured   on 40 validation images: log loss 0.2500, accuracy 90.0% (80.0% to 95.0%)",
        "calibrated no",
        "unsure     does not say when it is not sure",
    ]
    classifier.spec = replace(classifier.spec, reduced_decode=True)
    described = describe(saved(tmp_path / "m", classifier))
    assert "32 px, crop, bilinear, large JPEGs decoded at a smaller scale\n" in described


def test_a_thousand_classes_are_not_all_printed(tmp_path: Path) -> None:
    names = tuple(f"class {number}" for number in range(1000))
    text = describe(saved(tmp_path / "m", build_classifier(ImageSpec(16), names)))
    assert "1000: class 0, class 1" in text
    assert "class 9 and 990 more" in text
    assert "class 10" not in text


def test_parameter_count_excludes_batch_statistics(tmp_path: Path) -> None:
    classifier = build_torchvision_classifier("mobilenet_v3_small")
    count = sum(parameter.numel() for parameter in classifier.network.parameters())
    text = describe(saved(tmp_path / "m", classifier))
    assert f"torchvision's mobilenet_v3_small; {count:,} parameters" in text


def test_a_transformers_folder_is_described_from_its_files_alone(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", build_classifier())
    before = describe(folder).splitlines()
    config = json.loads((folder / "config.json").read_text())
    del config["foodvision"]
    (folder / "config.json").write_text(json.dumps(config))
    assert describe(folder).splitlines() == before[:3]


def test_the_confusion_matrix_is_not_in_config_json(tmp_path: Path) -> None:
    config = json.loads((saved(tmp_path / "m", build_classifier()) / "config.json").read_text())
    assert set(config["foodvision"]["metrics"]) == set(Measured.model_fields)


def test_a_damaged_field_is_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", build_classifier())
    config = json.loads((folder / "config.json").read_text())
    config["foodvision"]["metrics"]["accuracy"] = "high"
    (folder / "config.json").write_text(json.dumps(config))
    for read in (describe, TorchClassifier.load):
        with pytest.raises(ModelError, match=r"config\.json: foodvision\.metrics\.accuracy: "):
            read(folder)


def test_the_command_needs_no_torch(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", build_classifier())
    script = "import sys; from foodvision.cli import main; main()"
    watched = (
        f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {script}"
    )
    ended = subprocess.run(
        [sys.executable, "-c", watched, "info", str(folder)], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "False"
