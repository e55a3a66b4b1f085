"""Pretraining without labels: what is hidden and predicted, what is saved, and who takes it."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from foodvision import cli
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.describe import describe
from foodvision.classifier.info import ModelInfo
from foodvision.data import load_dataset
from foodvision.deploy.push import push
from foodvision.errors import DataError, ModelError, RecipeError
from foodvision.images import ImageSpec
from foodvision.images.transforms import finish
from foodvision.models.config import ViTConfig
from foodvision.paper.few_shot import evaluate_few_shot
from foodvision.training.accelerator import build_accelerator, run_processes
from foodvision.training.loop import Training
from foodvision.training.masked import (
    HiddenPatches,
    MaskedViT,
    draw_corruption,
    hidden_of,
    patch_colours,
)
from foodvision.training.run import TrainingResult, train
from foodvision.training.settings import load_recipe
from foodvision.weights.source import load_pretrained
from tests.training.test_resume import interruption

SMALL = {"image_size": 32, "patch_size": 8, "num_layers": 2, "hidden_size": 24}
FAST = SMALL | {"epochs": 2, "batch_size": 16, "precision": "float32"}
SETTINGS = FAST | {"learning_rate": 3e-3, "dropout": 0.1, "stochastic_depth": 0.1}
CONFIG = ViTConfig(32, 8, num_layers=2, hidden_size=24, mlp_size=48, num_heads=3, num_classes=512)
SPEC = ImageSpec(32, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))


@pytest.fixture(scope="module")
def pretrained(patterns: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """Of all images of `patterns`, in one folder without classes; do not write to it."""
    root = tmp_path_factory.mktemp("pretrained")
    (root / "photos").mkdir()
    for i, path in enumerate(sorted((patterns / "train").rglob("*.png"))):
        shutil.copyfile(path, root / "photos" / f"{i}.png")
    return train(root / "photos", "pretrain", root / "run", "cpu", **SETTINGS)


def test_half_of_the_patches_are_corrupted_as_the_paper_says() -> None:
    torch.manual_seed(0)
    places, sources = draw_corruption(500, 64)
    assert places.shape == sources.shape == (500, 32)
    assert all(len(set(row)) == 32 for row in places.tolist())
    assert places.flatten().bincount(minlength=64).float().std() < 25  # 250 each
    shares = [(sources == -1), (sources == places), (sources != places) & (sources >= 0)]
    for share, expected in zip(shares, (0.8, 0.1, 0.1), strict=True):
        assert share.float().mean().item() == pytest.approx(expected, abs=0.01)
    torch.manual_seed(0)
    assert all(a.equal(b) for a, b in zip(draw_corruption(500, 64), (places, sources), strict=True))
    assert [hidden_of(N) for N in (2, 4, 64)] == [1, 2, 32]


def test_colours_are_the_mean_of_each_patch_in_three_bits() -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    pixels[0, :, :8, :8] = torch.tensor([255, 0, 128])[:, None, None].to(torch.uint8)
    found = patch_colours(finish(pixels, SPEC), SPEC, 8)
    for b in range(2):
        for n in range(16):
            top, left = 8 * (n // 4), 8 * (n % 4)
            patch = pixels[b, :, top : top + 8, left : left + 8].double() / 255
            levels = [min(7, int(channel.mean() * 8)) for channel in patch]
            assert HiddenPatches.classes[found[b, n]] == "".join(map(str, levels))
    assert HiddenPatches.classes[found[0, 0]] == "704"


def test_what_is_corrupted_is_replaced_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = MaskedViT(CONFIG), torch.randn(3, 3, 32, 32)
    seen: list[torch.Tensor] = []
    sequence = network.embedding.sequence
    monkeypatch.setattr(network.embedding, "sequence", lambda z: seen.append(z) or sequence(z))
    torch.manual_seed(1)
    logits, places = network(x)
    torch.manual_seed(1)
    drawn, sources = draw_corruption(3, 16)
    assert places.equal(drawn)
    assert logits.shape == (3, 8, 512)
    expected = network.embedding.E(network.embedding.patches(x))
    whole = expected.clone()
    for b in range(3):
        for place, source in zip(places[b].tolist(), sources[b].tolist(), strict=True):
            expected[b, place] = network.mask if source < 0 else whole[b, source]
    assert seen[0].equal(expected)
    z = sequence(expected)
    for block in network.blocks:
        z = block(z)
    y = torch.stack([network.norm(z)[b, 1 + places[b]] for b in range(3)])
    torch.testing.assert_close(logits, network.head(y))


@pytest.mark.parametrize("pooling", ["class_token", "average"])
def test_the_loss_is_the_cross_entropy_of_the_corrupted_patches(pooling: Any) -> None:
    config = ViTConfig(**(vars(CONFIG) | {"pooling": pooling}))
    network, objective = MaskedViT(config), HiddenPatches(SPEC, 8)
    pixels = finish(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8), SPEC)
    same, colours = objective.targets(pixels, torch.zeros(4, dtype=torch.long))
    assert same is pixels
    answers = network(pixels)
    loss, _ = objective.loss(answers, colours, pixels, torch.arange(4))
    assert loss.item() == pytest.approx(math.log(512))  # the head is zero: a guess
    torch.nn.init.normal_(network.head.weight)
    logits, places = network(pixels)
    loss, accuracy = objective.loss((logits, places), colours, pixels, torch.arange(4))
    losses, hits = [], []
    for b in range(4):
        for row, place in zip(logits[b], places[b], strict=True):
            losses.append(-F.log_softmax(row, dim=0)[colours[b, place]])
            hits.append(row.argmax() == colours[b, place])
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    torch.testing.assert_close(accuracy, torch.stack(hits).float().mean())
    scored, right = objective.scored((logits, places), pixels, torch.zeros(4))
    assert F.cross_entropy(scored.flatten(0, 1), right.flatten()).item() == pytest.approx(
        loss.item()
    )
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_pretraining_learns_from_a_folder_without_classes(pretrained: TrainingResult) -> None:
    first, last = pretrained.history[0], pretrained.history[-1]
    assert last.log_loss < first.log_loss < math.log(512)
    found = pretrained.metrics
    assert found.log_loss == min(epoch.log_loss for epoch in pretrained.history)
    saved = json.loads((pretrained.folder / "metrics.json").read_text())
    assert saved["n"] == 14
    assert saved["patches"] == 14 * 8
    assert saved["accuracy"] == found.accuracy
    assert "unlabelled" in (pretrained.folder / "split.csv").read_text()


@pytest.mark.parametrize("workers", [0, 1])
def test_validation_hides_the_same_patches_every_time(patterns: Path, workers: int) -> None:
    recipe = load_recipe("pretrain", FAST | {"num_workers": workers})
    images, cpu = load_dataset(patterns).splits["train"], torch.device("cpu")
    network, spec = MaskedViT(recipe.vit_config(512)), recipe.image_spec()
    torch.nn.init.normal_(network.head.weight)
    with (
        run_processes(cpu),
        Training(
            *(network, images, images.subset(range(20)), spec, recipe),
            build_accelerator(cpu, recipe, Path()),
        ) as training,
    ):
        torch.manual_seed(1)
        first, following = training._validate(), torch.rand(())
        torch.manual_seed(1)
        assert torch.rand(()) == following  # the caller's random numbers are left alone
        again = training._validate()
    assert (first.n, first.log_loss, first.accuracy) == (160, again.log_loss, again.accuracy)


def test_the_folder_is_pretrained_weights_without_a_head(pretrained: TrainingResult) -> None:
    folder = pretrained.folder
    assert not (folder / "unsure.safetensors").exists()
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["ViTModel"]
    assert "id2label" not in config
    network = load_pretrained(str(folder), 3).network.eval()
    info = ModelInfo.from_config(config)
    assert info.parameters == sum(
        p.numel() for name, p in network.named_parameters() if not name.startswith("head")
    )
    assert info.training == "by predicting hidden patches, without labels, 2 epochs, seed 0"
    transformers = pytest.importorskip("transformers")
    theirs = transformers.ViTModel.from_pretrained(folder, add_pooling_layer=False)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        y = theirs(x).last_hidden_state[:, 0]
        torch.testing.assert_close(network.features(x), y, atol=1e-5, rtol=1e-5)


def test_info_and_card_say_what_it_is(pretrained: TrainingResult) -> None:
    folder = str(pretrained.folder)
    lines = describe(folder)
    assert (
        f"classes    none yet: foodvision train DATA --recipe finetune --weights {folder}" in lines
    )
    assert "of the colours of 112 hidden patches, n = 14 images" in lines
    assert "calibrated" not in lines
    card = (pretrained.folder / "README.md").read_text()
    assert "# A pretrained network without a head" in card
    assert "without their labels" in card
    assert "by predicting hidden patches" in card


def test_it_answers_nothing_until_it_is_fine_tuned(pretrained: TrainingResult) -> None:
    one_line = "has no classes yet, it is a pretrained network without a head; fine-tune it"
    with pytest.raises(ModelError, match=one_line):
        Classifier.load(pretrained.folder)
    with pytest.raises(ModelError, match=one_line):
        pretrained.classifier  # noqa: B018
    with pytest.raises(ModelError, match="run: has no classes yet; fine-tune it: foodvision train"):
        push(pretrained.folder, "me/mine")


@pytest.mark.parametrize("recipe", ["finetune", "probe"])
def test_other_recipes_take_it_as_weights(
    recipe: str, pretrained: TrainingResult, patterns: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"weights": str(pretrained.folder), "precision": "float32"}
    if recipe == "finetune":
        settings |= {"epochs": 1, "learning_rate": 1e-30, "warmup_fraction": 0}
    result = train(patterns, recipe, tmp_path / "r", "cpu", **settings)
    state = load_pretrained(str(pretrained.folder), 3).network.state_dict()
    for name, tensor in result.classifier.network.cpu().state_dict().items():
        if not name.startswith("head"):
            assert tensor.equal(state[name])
    assert "starting from run" in (result.classifier.info.training or "")


def test_few_shot_takes_it(pretrained: TrainingResult, patterns: Path) -> None:
    assert evaluate_few_shot(str(pretrained.folder), patterns, [1], 2, "cpu").n == 30


def test_a_resumed_run_is_the_uninterrupted_one(
    pretrained: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a folder without classes, which must be found again."""
    photos = pretrained.folder.parent / "photos"
    with interruption(after=6):
        train(photos, "pretrain", tmp_path / "r", "cpu", **SETTINGS)
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    shutil.move("r", "runs/mine")
    again = train(photos, None, None, "cpu", resume=True)  # finds the only run of these images
    weights = [result.folder / "model.safetensors" for result in (pretrained, again)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    for a, b in zip(pretrained.history, again.history, strict=True):
        assert (a.train_loss, a.log_loss, a.accuracy) == (b.train_loss, b.log_loss, b.accuracy)


@pytest.mark.parametrize(
    "settings",
    [
        {"mixup": 0.2},
        {"cutmix": 1.0},
        {"class_weights": "balanced"},
        {"label_smoothing": 0.1},
        {"teacher": "model"},
        {"teacher_weight": 0.5},
        {"weights": "model"},
        {"trainable": "head"},
        {"auto_augment": "randaugment"},
        {"erasing": 0.1},
        {"mix_probability": 0.5},
        {"magnitude": 3},
    ],
)
def test_settings_without_a_place_are_refused(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(RecipeError, match=f"^{name} has no place in pretraining: leave it out"):
        load_recipe("pretrain", settings)


def test_what_cannot_be_pretrained_is_one_line(patterns: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="pretraining hides patches: image_size must be above"):
        load_recipe("pretrain", {"image_size": 8, "patch_size": 8})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no images"):
        train(tmp_path / "empty", "pretrain", tmp_path / "r")
    with pytest.raises(DataError, match="put each class in a folder of its own"):
        train(patterns / "train" / "dots", "scratch", tmp_path / "r")


def test_the_commands_say_what_comes_next(
    patterns: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With average pooling, which transformers cannot express."""
    out, settings = tmp_path / "r", FAST | {"epochs": 1, "pooling": "average"}
    changes = [f"--set={key}={value}" for key, value in settings.items()]
    command = ["train", str(patterns), "--recipe", "pretrain", "--out", str(out), *changes]
    cli.app(command, standalone_mode=False)
    printed = capsys.readouterr().out
    assert "of the colours of" in printed
    assert f"Next: foodvision train DATA --recipe finetune --weights {out}" in printed
    assert load_pretrained(str(out), 3).network.config.pooling == "average"
    assert "classes    none yet" in describe(out)
