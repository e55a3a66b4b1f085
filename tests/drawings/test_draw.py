from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from foodvision.drawings.draw import CLASSES, SEEDS, draw_image, write_drawn


def digest(image: Image.Image) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


@pytest.mark.parametrize("label", CLASSES)
def test_same_label_and_seed_same_pixels_whatever_was_drawn_before(label: str) -> None:
    first = draw_image(label, 7)
    assert (first.mode, first.size) == ("RGB", (96, 96))
    for other in CLASSES:
        draw_image(other, 8)
    np.random.seed(0)
    assert digest(draw_image(label, 7)) == digest(first)
    assert digest(draw_image(label, 8)) != digest(first)
    assert np.asarray(first).std() > 10


def test_unknown_label() -> None:
    with pytest.raises(ValueError, match="cannot draw 'ramen', only pizza, steak, sushi"):
        draw_image("ramen", 0)


def test_training_never_sees_a_test_seed() -> None:
    assert not set(SEEDS["train"]) & set(SEEDS["test"])


def test_folder_has_the_given_counts_and_no_image_twice(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_drawn(tmp_path / "d", 5, 3, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 24) for done in range(1, 25)]
    files = sorted((tmp_path / "d").rglob("*.jpg"))
    counts = {
        (split, label): sum(path.parts[-3:-1] == (split, label) for path in files)
        for split in ("train", "test")
        for label in CLASSES
    }
    assert counts == {
        (split, label): n for split, n in (("train", 5), ("test", 3)) for label in CLASSES
    }
    assert len({path.read_bytes() for path in files}) == 24
    buffer = io.BytesIO()
    draw_image("steak", SEEDS["test"][2]).save(buffer, "jpeg", quality=90)
    assert (tmp_path / "d/test/steak/steak-00002.jpg").read_bytes() == buffer.getvalue()
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
    with pytest.raises(FileExistsError):
        write_drawn(tmp_path / "d", 1, 1)


def test_default_test_set_has_600_images() -> None:
    import inspect

    defaults = inspect.signature(write_drawn).parameters
    assert defaults["test_per_class"].default * len(CLASSES) >= 600


def test_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_drawn(tmp_path / "d", 5, 3, on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_or_a_removed_folder_is_an_os_error(tmp_path: Path) -> None:
    def remove(done: int, total: int) -> None:
        for folder in tmp_path.iterdir():
            shutil.rmtree(folder)

    with pytest.raises(OSError, match="No such file"):
        write_drawn(tmp_path / "d", 300, 1, on_progress=remove)
    assert list(tmp_path.iterdir()) == []


def test_script_without_a_main_guard_under_spawn(tmp_path: Path) -> None:
    """As on macOS and Windows, where multiprocessing's worker processes import the script again."""
    script = """
import multiprocessing
from pathlib import Path
from foodvision.drawings import write_drawn
multiprocessing.set_start_method("spawn")
write_drawn(Path("drawn"), 2, 1)
print(len(list(Path("drawn").rglob("*.jpg"))))
"""
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "9\n", "")


def arrays(seeds: range) -> tuple[np.ndarray, np.ndarray]:
    images = [np.asarray(draw_image(label, seed)) for label in CLASSES for seed in seeds]
    return np.stack(images), np.repeat(np.arange(3), len(seeds))


def test_neither_thumbnails_nor_colours_reveal_the_class() -> None:
    """The purpose of the drawings: only structure separates the classes."""
    (x, y), (test_x, test_y) = arrays(SEEDS["train"][:150]), arrays(SEEDS["test"][:100])

    def small(images: np.ndarray) -> np.ndarray:
        return np.stack(
            [
                np.asarray(Image.fromarray(p).resize((32, 32), Image.Resampling.BILINEAR)).ravel()
                / 255
                for p in images
            ]
        )

    def colours(images: np.ndarray) -> np.ndarray:
        return np.stack(
            [
                np.concatenate([np.histogram(p[..., c], 32, (0, 256))[0] for c in range(3)]) / 96**2
                for p in images
            ]
        )

    for features, strength in ((small, 0.01), (small, 1.0), (colours, 1.0), (colours, 100.0)):
        model = LogisticRegression(C=strength, max_iter=1000).fit(features(x), y)
        score = model.score(features(test_x), test_y)
        assert score <= 0.70, (features.__name__, strength)
        assert score > 0.34  # above chance: the features work
