"""What the pages' commands find: drawings, a model trained on them, and stand-ins for downloads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import build_classifier
from tests.deploy.conftest import hub

__all__ = ["hub"]

CLASSES = ("pizza", "steak", "sushi")


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to copy: photos, photo.jpg, weights, runs/photos, runs/photos-export, blip."""
    import foodvision as fv
    from foodvision.backends import Format
    from foodvision.drawings import draw_image
    from foodvision.export.export import export
    from tests.captioning.blip import save_tiny_blip

    root = tmp_path_factory.mktemp("stage")
    for label in CLASSES:
        (root / "photos" / label).mkdir(parents=True)
        for seed in range(40):
            image = draw_image(label, seed)
            image.save(root / "photos" / label / f"{seed}.jpg", quality=95)
    draw_image("pizza", 1000).save(root / "photo.jpg")
    build_classifier().save(root / "weights")
    save_tiny_blip(root / "blip")

    result = fv.train(root / "photos", out=root / "runs/photos", epochs=8, num_layers=2, batch_size=16)
    formats = list(Format)
    export(str(result.folder), formats, root / "runs/photos-export", str(root / "photos"))
    return root


@pytest.fixture
def at_work(stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the stage, which is the current folder for one page."""
    folder = tmp_path / "work"
    shutil.copytree(stage, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setenv("COLUMNS", "100")
    venv = Path(os.__file__).parents[2] / "bin"  # of the interpreter; see `run_shell`
    monkeypatch.setenv("PATH", f"{venv}{os.pathsep}{os.environ['PATH']}")
    yield folder
