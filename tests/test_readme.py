"""The README's commands run as written, on a small dataset."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from foodvision import cli
from tests.conftest import build_classifier

README = (Path(__file__).parent.parent / "README.md").read_text()


SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL))


def commands() -> list[list[str]]:
    lines = re.findall(r"^foodvision [^#\n]+", SHELL, flags=re.MULTILINE)
    return [shlex.split(line)[1:] for line in lines]


@pytest.fixture
def photos(patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(patterns / "train", tmp_path / "photos")


def test_the_readme_commands_run(photos: None, monkeypatch: pytest.MonkeyPatch) -> None:
    served = []
    launch = "foodvision.apps.classify.launch_app"
    monkeypatch.setattr(launch, lambda *given, processes: served.append(given))
    for name in ("vit_b_16", "efficientnet_b0"):
        build_classifier().save(name)
    shutil.copy("photos/dots/000.png", "photo.jpg")
    assert len(commands()) == 17
    for arguments in commands():
        # Only the epochs, the weights, and the size of what is trained from scratch are replaced.
        words = [a.replace("epochs=10", "epochs=1") for a in arguments]
        if words[0] == "train" and "--weights" not in words:
            words += ["--set", "hidden_size=48", "--set", "num_layers=2"]
        words = [re.sub(r"torchvision:(\w+)/\w+", r"\1", word) for word in words]
        monkeypatch.setattr(sys, "argv", ["foodvision", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 0, arguments
    assert len(served) == 2
    assert Path("runs/photos-zerogpu/app.py").exists()
    assert len(Path("answers.csv").read_text().splitlines()) == 91
    assert Path("runs/photos/report/confusion.png").exists()
    assert Path("explain-photo.png").exists()


def test_the_python_example(photos: None) -> None:
    (example,) = re.findall(r"```python\n(import foodvision.*?)```", README, flags=re.DOTALL)
    Path("photos/pizza").mkdir()
    for i, path in enumerate(sorted(Path("photos/dots").iterdir())):
        path.rename(Path("photos/pizza") / f"{i}.jpg")
    Path("photos/dots").rmdir()
    done = subprocess.run(
        [sys.executable, "-c", example.replace("epochs=10", "epochs=1")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] in ("pizza", "stripes", "waves")


def test_the_readme_make_targets_exist() -> None:
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    for target in set(re.findall(r"^make (\w+)", SHELL, flags=re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_readme_links_resolve() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", README):
        path, _, heading = link.partition("#")
        if link.startswith("https://"):
            continue
        file = Path(__file__).parent.parent / path
        assert file.exists(), link
        headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE) if heading else []
        assert not heading or heading in {h.lower().replace(" ", "-") for h in headings}, link
