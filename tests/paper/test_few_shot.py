from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from foodvision.data.inventory import Inventory, take_inventory
from foodvision.data.load import load_dataset
from foodvision.errors import DataError
from foodvision.paper import few_shot
from foodvision.paper.few_shot import evaluate_few_shot, fit_least_squares
from tests.conftest import build_classifier, build_torchvision_classifier, write_images


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("few") / "model"
    build_classifier().save(folder)
    return str(folder)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_solution_is_the_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """W = (Xᵀ X + λ I)⁻¹ Xᵀ T for centred T, targets in {−1, 1}."""
    random = np.random.default_rng(0)
    x, labels = random.normal(2, 3, (12, 5)), np.arange(12) % 3
    monkeypatch.setattr(few_shot, "PENALTIES", [7.0])
    fitted = fit_least_squares(x, labels)
    X = x - x.mean(axis=0)
    penalty = 7 * (X**2).mean()
    T = np.where(labels[:, None] == np.arange(3), 1.0, -1.0)
    W = np.linalg.solve(X.T @ X + penalty * np.eye(5), X.T @ (T - T.mean(axis=0)))
    new = random.normal(2, 3, (20, 5))
    expected = (new - x.mean(axis=0)) @ W + T.mean(axis=0)
    np.testing.assert_allclose(fitted.decision_function(new), expected)
    assert (fitted.predict(new) == expected.argmax(axis=1)).all()


class NoisyFeatures:
    """Stands for `Features`: each image's class, and noise that depends on its bytes."""

    def __init__(self, *given: object) -> None:
        pass

    def of(self, inventory: Inventory) -> np.ndarray:
        seeds = [int(digest[:8], 16) for digest in inventory.sha256]
        noise = np.stack([np.random.default_rng(seed).normal(size=30) for seed in seeds])
        return noise + 1.5 * np.eye(30)[inventory.images.labels]


def test_more_images_are_better_and_every_draw_counts(
    model: str, patterns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_shot, "Features", NoisyFeatures)
    found = evaluate_few_shot(model, patterns, (1, 20, 1000), 4, "cpu")
    assert (found.split, found.n, found.classes, found.draws) == ("test", 30, 3, 4)
    one, twenty = found.rows  # 1000 are more than there are
    assert (one.shots, twenty.shots) == (1, 20)
    assert one.lowest < one.accuracy < one.highest
    assert one.accuracy + 0.1 < twenty.accuracy
    assert twenty.accuracy > 0.6  # of three classes
    assert found == evaluate_few_shot(model, patterns, (1, 20), 4, "cpu")
    assert found.seen == 0


def test_each_shot_is_of_its_class(
    model: str, patterns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    fit = few_shot.fit_least_squares
    monkeypatch.setattr(
        few_shot, "fit_least_squares", lambda x, y: given.append((x, y)) or fit(x, y)
    )
    evaluate_few_shot(model, patterns, (2, 5), 2, "cpu")
    assert [sorted(y) for _, y in given] == 2 * [[0, 0, 1, 1, 2, 2]] + 2 * [
        [0] * 5 + [1] * 5 + [2] * 5
    ]
    assert not np.array_equal(given[0][0], given[1][0])  # two draws
    for two, five in zip(given[:2], given[2:], strict=True):  # five images add three to the two
        for k in range(3):
            np.testing.assert_array_equal(five[0][five[1] == k][:2], two[0][two[1] == k])


def test_a_cnn_and_a_dataset_without_a_test_split(tmp_path: Path, patterns: Path) -> None:
    build_torchvision_classifier("resnet18").save(tmp_path / "cnn")
    found = evaluate_few_shot(str(tmp_path / "cnn"), patterns / "train", (5,), 2, "cpu")
    assert found.split == "validation"
    assert 0 < found.n < 30
    assert "validation images of train, 3 classes" in found.table().to_text()


def test_images_that_the_model_was_trained_on_are_counted(
    model: str, patterns: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "run")
    splits = load_dataset(patterns).splits
    digests = [*take_inventory(splits["train"]).sha256, take_inventory(splits["test"]).sha256[3]]
    rows = [f"{i},dots,{digest},train\n" for i, digest in enumerate(digests)]
    (tmp_path / "run" / "split.csv").write_text("name,class,sha256,split\n" + "".join(rows))
    found = evaluate_few_shot(str(tmp_path / "run"), patterns, (1,), 1, "cpu")
    assert found.seen == 1
    assert (found.drawn, found.drawn_seen) == (3, 3)
    assert "was trained on or chosen by 1 of these images" in found.table().to_text()
    assert "trained on or chosen by 3 of the 3 images that were drawn" in found.table().to_text()


def test_too_few_images(model: str, tmp_path: Path) -> None:
    for label in ("dots", "waves"):
        write_images(tmp_path / "small" / "train", label, range(3))
        write_images(tmp_path / "small" / "test", label, range(100, 102))
    with pytest.raises(DataError, match="only 3 training images; few-shot needs 4 of each class"):
        evaluate_few_shot(model, tmp_path / "small", (4, 9))
