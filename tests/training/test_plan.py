"""What is checked before torch is loaded, and what is said then."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from foodvision.data import load_dataset
from foodvision.errors import FoodvisionError, ModelError, RecipeError, RunInterruptedError
from foodvision.training import run as run_module
from foodvision.training.plan import plan_run
from foodvision.training.run import train
from tests.training.test_run import FAST

SHORT = FAST | {"epochs": 1, "num_layers": 1}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["PHOTOS", "--set", "epochs=0"], "epochs = '0'"),
        (["PHOTOS", "--weights", "nowhere"], "weights nowhere: no such file or folder"),
        (["PHOTOS", "--out", "PHOTOS"], "is not empty; choose another --out"),
        (["PHOTOS", "--resume", "--out", "nowhere"], "no run to resume"),
        (["PHOTOS", "--exclude-classes", "dots,waves"], "fewer than two classes: stripes"),
    ],
)
def test_mistakes_are_reported_before_torch_is_loaded(
    words: list[str], reason: str, patterns: Path, tmp_path: Path
) -> None:
    words = [str(patterns) if word == "PHOTOS" else word for word in words]
    program = (
        f"import sys; sys.argv = {['foodvision', 'train', *words]}\n"
        "from foodvision.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end, {'torch', 'accelerate', 'rich'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert reason in done.stdout, done
    assert "set()" in done.stdout


def test_a_hub_id_without_its_prefix_is_recognised(patterns: Path) -> None:
    with pytest.raises(ModelError, match=r"weights google/vit-base: .*on the Hub, give hub:goog"):
        plan_run({"weights": "google/vit-base"}, patterns)


def test_without_weights_one_line_says_how_to_begin_with_them(
    patterns: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "foodvision")
    train(patterns, out=tmp_path / "r", device="cpu", **SHORT)
    (line,) = [line for line in caplog.messages if "training from scratch" in line]
    assert "--recipe probe --weights torchvision:efficientnet_b0/IMAGENET1K_V1" in line
    assert plan_run({}, patterns, "scratch", out=tmp_path / "s").advice is None
    assert plan_run({"weights": str(tmp_path)}, patterns, out=tmp_path / "s").advice is None


def test_without_weights_the_box_is_the_start_and_that_is_said(
    patterns: Path, tmp_path: Path
) -> None:
    plan = plan_run({}, patterns, "finetune", out=tmp_path / "f")
    assert plan.recipe.weights == "box"
    assert (plan.advice or "").startswith("no --weights: starting from box")
    assert plan_run({"weights": "box"}, patterns, "probe", out=tmp_path / "p").advice is None
    for recipe, settings in (("finetune_paper", {}), ("finetune", {"network": "vit_b16"})):
        with pytest.raises(RecipeError, match="begins with pretrained weights: give --weights"):
            plan_run(settings, patterns, recipe, out=tmp_path / "x")
    with pytest.raises(RecipeError, match="give --weights"):
        plan_run({"weights": ""}, patterns, "finetune", out=tmp_path / "x")


def test_a_dataset_is_taken_as_well_as_its_path(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = load_dataset(patterns)
    result = train(dataset, "scratch", device="cpu", **SHORT)
    assert result.folder == Path(f"runs/{dataset.name}-scratch")
    content = (result.folder / "model.safetensors").read_bytes()
    by_path = train(patterns, "scratch", "by_path", device="cpu", **SHORT)
    assert (by_path.folder / "model.safetensors").read_bytes() == content
    assert train(dataset, device="cpu", resume=True, out=result.folder).history == result.history
    fewer = replace(dataset, splits=dataset.splits | {"train": dataset.splits["train"][1:]})
    with pytest.raises(FoodvisionError, match="dataset has changed since this run began"):
        train(fewer, device="cpu", resume=True, out=result.folder)


def test_an_interrupted_run_of_a_dataset_says_how_to_resume_in_python(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "save", interrupted)
    with pytest.raises(RunInterruptedError, match=r"fv\.train\(dataset, out='.*r', resume=True\)"):
        train(load_dataset(patterns), out=tmp_path / "r", device="cpu", **SHORT)
