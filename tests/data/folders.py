"""Small folders of images, and what a dataset holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from foodvision.data import Dataset


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), "red").save(path)
    return root


def counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    return {split: images.counts() for split, images in dataset.splits.items()}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
