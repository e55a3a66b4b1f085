"""What the pages' commands find: drawings, a model trained on them, and stand-ins for downloads."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import build_classifier
from tests.deploy.conftest import hub

__all__ = ["hub"]

CLASSES = ("pizza", "steak", "sushi")


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to copy: photos, photo.jpg, weights, runs/photos, runs/photos-export, blip."""
    root = tmp_path_factory.getbasetemp().parent / "stage"  # of all processes of pytest-xdist
    with FileLock(f"{root}.lock"):
        if not root.exists():
            _set(root.with_name("unfinished"))
            root.with_name("unfinished").rename(root)
    return root


def _set(root: Path) -> None:
    import foodvision as fv
    from foodvision.backends import Format
    from foodvision.drawings import draw_image
    from foodvision.export.export import export
    from tests.captioning.blip import save_tiny_blip

    for label in CLASSES:
        (root / "photos" / label).mkdir(parents=True)
        for seed in range(40):
            image = draw_image(label, seed)
            image.save(root / "photos" / label / f"{seed}.jpg", quality=95)
    build_classifier().save(root / "weights")
    save_tiny_blip(root / "blip")

    result = fv.train(
        root / "photos", out=root / "runs/photos", epochs=12, num_layers=2, batch_size=16
    )
    drawn = [draw_image("pizza", seed) for seed in range(1000, 1100)]
    # Pages say what it is called, and training differs a little between processors, as JPEG does
    # from what was drawn: so it is the one that is most certainly a pizza.
    answers = [result.classifier.predict(image).probabilities["pizza"] for image in drawn]
    drawn[answers.index(max(answers))].save(root / "photo.jpg")
    export(str(result.folder), list(Format), root / "runs/photos-export", str(root / "photos"))


@pytest.fixture
def at_work(stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stage, which is the current folder for one page."""
    folder = tmp_path / "work"
    shutil.copytree(stage, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setenv("COLUMNS", "100")
    commands = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    return folder
