from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from foodvision.data import carve, load_dataset, training_splits
from foodvision.errors import DataError
from tests.conftest import CLASSES, write_images


def digests(n: int, prefix: str = "") -> list[str]:
    return [hashlib.sha256(f"{prefix}{i}".encode()).hexdigest() for i in range(n)]


def test_every_class_has_the_given_shares() -> None:
    sha256, labels = digests(4000), [i % 2 for i in range(4000)]
    split = carve(sha256, labels, 0, {"test": 0.2, "validation": 0.1})
    for label in (0, 1):
        mine = [s for s, own in zip(split, labels, strict=True) if own == label]
        assert mine.count("test") / 2000 == pytest.approx(0.2, abs=0.03)
        assert mine.count("validation") / 2000 == pytest.approx(0.1, abs=0.02)


def test_added_files_do_not_move_others() -> None:
    before, labels = digests(200), [i % 4 for i in range(200)]
    split = carve(before, labels, 5, {"validation": 0.2})
    more = digests(300, "new")
    grown = carve([*more, *before], [*(i % 4 for i in range(300)), *labels], 5, {"validation": 0.2})
    assert grown[300:] == split


def test_a_share_of_the_training_images(tmp_path: Path) -> None:
    """A share of each class: smaller shares are subsets of larger ones; validation stays."""
    for label in CLASSES:
        write_images(tmp_path / "d", label, range(40))
    dataset = load_dataset(tmp_path / "d")
    whole, half, tenth = (training_splits(dataset, 3, 0.2, share) for share in (1.0, 0.5, 0.1))
    assert set(tenth.train.sha256) < set(half.train.sha256) < set(whole.train.sha256)
    for share, splits in ((0.5, half), (0.1, tenth)):
        assert splits.validation.sha256 == whole.validation.sha256
        for label, n in splits.train.images.counts().items():
            expected = share * whole.train.images.counts()[label]
            assert n == pytest.approx(expected, abs=7)
            assert n > 0


def test_identical_files_never_straddle_even_between_classes() -> None:
    sha256 = digests(50) * 3
    split = carve(sha256, [0] * 100 + [1] * 50, 1, {"validation": 0.3})
    assert split[:50] == split[50:100] == split[100:]


def test_seed_decides_and_repeats() -> None:
    sha256, labels = digests(100), [0] * 100
    assert carve(sha256, labels, 1, {"test": 0.5}) == carve(sha256, labels, 1, {"test": 0.5})
    assert carve(sha256, labels, 1, {"test": 0.5}) != carve(sha256, labels, 2, {"test": 0.5})


@pytest.mark.parametrize("size", [2, 3, 5])
def test_small_classes_are_validated_and_keep_training_images(size: int) -> None:
    for seed in range(30):
        split = carve(digests(size, str(seed)), [0] * size, seed, {"validation": 0.15})
        assert 0 < split.count("validation") < size


def test_a_single_image_trains() -> None:
    for seed in range(30):
        assert carve(digests(1), [0], seed, {"validation": 0.9}) == ["train"]


@pytest.mark.parametrize("fractions", [{"test": 0.0}, {"test": 0.6, "validation": 0.4}])
def test_impossible_fractions(fractions: dict[str, float]) -> None:
    with pytest.raises(DataError, match="shares must be above 0, and their sum below 1: test 0"):
        carve(digests(3), [0] * 3, 0, fractions)


def test_training_splits_take_a_given_validation(tmp_path: Path, patterns: Path) -> None:
    shutil.copytree(patterns, tmp_path / "d")
    for label in CLASSES:
        write_images(tmp_path / "d" / "val", label, range(500, 504))
    splits = training_splits(load_dataset(tmp_path / "d"), seed=0, fraction=0.2)
    assert (len(splits.train.images), len(splits.validation.images)) == (90, 12)


def test_nothing_to_train_with(tmp_path: Path, patterns: Path) -> None:
    shutil.copytree(patterns / "test", tmp_path / "d" / "test")
    with pytest.raises(DataError, match="no training images"):
        training_splits(load_dataset(tmp_path / "d"), 0, 0.2)
