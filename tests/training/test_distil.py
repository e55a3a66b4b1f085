"""Learning from a teacher: the loss, what the teacher sees, whom it teaches, and resuming."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from foodvision import cli
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.info import Origin
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import FoodvisionError, ModelError
from foodvision.images import ImageSpec
from foodvision.training.loop import Training
from foodvision.training.loss import distillation_loss, training_loss, weighted_cross_entropy
from foodvision.training.recipe import Recipe
from foodvision.training.run import train
from foodvision.training.settings import load_recipe
from foodvision.training.teacher import Teacher, load_teacher
from tests.conftest import CLASSES, build_classifier, build_torchvision_classifier
from tests.training.test_resume import SETTINGS, curves, interruption, sha256
from tests.training.test_run import FAST

SHORT = FAST | {"epochs": 2, "num_layers": 1}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of another size and normalisation, with the classes in another order and one more."""
    folder = tmp_path_factory.mktemp("teacher") / "model"
    spec = ImageSpec(48, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    build_classifier(spec, ("waves", "squares", "dots", "stripes")).save(folder)
    return str(folder)


def distil(teacher: str, **settings: Any) -> Recipe:
    return load_recipe("distil", {"teacher": teacher} | settings)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_is_the_formula(temperature: float) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    targets, ones = F.one_hot(torch.tensor([0, 1, 2, 2, 0]), 3).float(), torch.ones(3)
    settings = {"teacher_weight": 0.3, "teacher_temperature": temperature, "label_smoothing": 0.1}
    loss = training_loss(student, targets, ones, distil("m", **settings), teacher)
    p, q = (torch.softmax(z / temperature, dim=1) for z in (teacher, student))
    divergence = (p * (p / q).log()).sum(dim=1).mean()
    labels = F.cross_entropy(student, targets, label_smoothing=0.1)
    torch.testing.assert_close(loss, 0.7 * labels + 0.3 * temperature**2 * divergence)
    loss.backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_without_a_teacher_and_with_a_teacher_alone() -> None:
    logits, answers = torch.randn(4, 3), torch.randn(4, 3)
    targets, ones = torch.full((4, 3), 1 / 3), torch.ones(3)
    labels = weighted_cross_entropy(logits, targets, ones, 0.0)
    assert training_loss(logits, targets, ones, load_recipe("scratch")) == labels
    alone = distil("m", teacher_weight=1)
    taught = training_loss(logits, targets, ones, alone, answers)
    torch.testing.assert_close(taught, distillation_loss(logits, answers, 1.0))


def test_class_weights_shift_the_teacher_too() -> None:
    """The student's logits are used without log w: then they are the teacher's."""
    answers, weights = torch.randn(4, 3), torch.tensor([0.5, 1.0, 4.0])
    recipe = distil("m", teacher_weight=1, teacher_temperature=2, class_weights="balanced")
    loss = training_loss(answers + weights.log(), torch.eye(4, 3), weights, recipe, answers)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_classes_are_matched_by_name(teacher: str) -> None:
    known = load_teacher(teacher, CLASSES, ImageSpec(48))
    x = torch.rand(2, 3, 48, 48)
    logits = TorchClassifier.load(teacher, "cpu").network(known.view(x))
    assert known.answers(x, "float32").equal(logits[:, [2, 3, 0]].detach())
    with pytest.raises(ModelError, match=r"teacher .*: does not know circles; train it"):
        load_teacher(teacher, (*CLASSES, "circles"), ImageSpec(32))


@pytest.mark.parametrize(("size", "interpolation"), [(48, "bilinear"), (16, "bicubic")])
def test_the_teacher_sees_the_same_pixels_in_its_own_way(size: int, interpolation: str) -> None:
    pupil = ImageSpec(32, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    spec = ImageSpec(size, interpolation=interpolation, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    seen = Teacher("m", build_classifier(spec), CLASSES, pupil)
    values = torch.rand(2, 3, 32, 32)
    found = seen.view(transforms.normalize(values, pupil.mean, pupil.std))
    mode = InterpolationMode(interpolation)
    scaled = transforms.resize(values, [size, size], mode, antialias=True)
    torch.testing.assert_close(found, transforms.normalize(scaled, spec.mean, spec.std))


@pytest.mark.parametrize("network", ["vit", "mobilenet_v3_small"])
def test_the_teacher_answers_for_the_images_that_the_student_sees(
    network: str, patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mixed images, the same tensors, step by step; the teacher itself stays as it is."""
    spec = ImageSpec(32)
    classifier = build_classifier(spec)
    if network != "vit":
        classifier = build_torchvision_classifier(network, spec)
    classifier.save(tmp_path / "teacher")
    before = {name: t.clone() for name, t in classifier.network.state_dict().items()}
    teachers, batches = [], []
    answers = Teacher.answers

    def watched(self: Teacher, pixels: Tensor, precision: str) -> Tensor:
        teachers.append(self)
        batches.append(pixels)
        assert self.view(pixels).equal(pixels)  # its spec is the student's
        return answers(self, pixels, precision)

    monkeypatch.setattr(Teacher, "answers", watched)
    learn = Training._learn

    def hooked(self: Training, *batch: Tensor) -> Tensor:
        hook = self.model.register_forward_pre_hook(lambda _, x: batches.append(x[0]))
        loss = learn(self, *batch)
        hook.remove()
        return loss

    monkeypatch.setattr(Training, "_learn", hooked)
    settings = SHORT | {
        "mixup": 0.8,
        "cutmix": 1.0,
        "epochs": 1,
        "teacher": str(tmp_path / "teacher"),
    }
    train(patterns, "distil", tmp_path / "r", "cpu", **settings)
    assert len(batches) == 2 * (76 // 16)
    assert all(a is b for a, b in zip(batches[::2], batches[1::2], strict=True))
    assert all(p.grad is None for p in teachers[0].network.parameters())
    after = teachers[0].network.state_dict()
    assert all(after[name].equal(tensor) for name, tensor in before.items())


def test_the_answers_for_unchanged_images_are_computed_once(
    teacher: str, patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And give the same run, up to rounding, as computing them in every step."""
    asked, answers = [], Teacher.answers

    def counted(self: Teacher, pixels: Tensor, precision: str) -> Tensor:
        asked.append(len(pixels))
        return answers(self, pixels, precision)

    monkeypatch.setattr(Teacher, "answers", counted)
    settings = SHORT | {"min_area": 1, "flip": 0, "teacher": teacher}
    once = train(patterns, "distil", tmp_path / "once", "cpu", **settings)
    assert sum(asked) == 76
    monkeypatch.setattr(Recipe, "changes_images", True)
    each = train(patterns, "distil", tmp_path / "each", "cpu", **settings)
    for a, b in zip(once.history, each.history, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, rel=1e-4)


def test_a_student_learns_its_teachers_answers_without_labels(
    teacher: str, patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlabelled images: the teacher labels them, and its probabilities alone are learnt."""
    monkeypatch.chdir(tmp_path)
    for i, path in enumerate(sorted((patterns / "train").rglob("*.png"))):
        Path("photos").mkdir(exist_ok=True)
        shutil.copyfile(path, f"photos/{i}.png")
    command = ["predict", "photos", "--model", teacher, "--out", "labels.csv"]
    cli.app(command, standalone_mode=False)
    settings = SHORT | {"epochs": 8, "teacher": teacher, "teacher_weight": 1}
    result = train("labels.csv", "distil", "r", "cpu", **settings)
    first, last = result.history[0], result.history[-1]
    assert last.train_loss < 0.6 * first.train_loss
    assert last.accuracy >= first.accuracy


@pytest.mark.parametrize("changes", [{}, {"min_area": 1, "flip": 0, "auto_augment": "none"}])
def test_a_resumed_student_is_the_uninterrupted_one(
    changes: dict[str, Any], teacher: str, patterns: Path, tmp_path: Path
) -> None:
    settings = SETTINGS | {"teacher": teacher, "epochs": 2, "optimizer": "adamw"} | changes
    if changes:
        settings |= {"erasing": 0, "mixup": 0, "cutmix": 0}  # the answers are kept
    whole = train(patterns, "distil", tmp_path / "whole", "cpu", **settings).folder
    with interruption(after=6):
        train(patterns, "distil", tmp_path / "r", "cpu", **settings)
    train(patterns, None, tmp_path / "r", "cpu", resume=True)
    assert sha256(tmp_path / "r") == sha256(whole)
    assert curves(tmp_path / "r") == curves(whole)


def test_the_run_and_its_card_say_who_the_teacher_was(patterns: Path, tmp_path: Path) -> None:
    weights = tmp_path / "lite"
    build_classifier().save(weights)
    (weights / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    probe = {"weights": str(weights), "precision": "float32"}
    train(patterns, "probe", tmp_path / "teacher", "cpu", **probe)
    settings = SHORT | {"epochs": 1, "teacher": str(tmp_path / "teacher")}
    result = train(patterns, "distil", tmp_path / "r", "cpu", **settings)
    info = Classifier.load(tmp_path / "r").info.teacher
    assert info is not None
    assert info.name == "teacher"
    assert [tuple(origin) for origin in info.origins] == [
        (("weights", "lite"), ("licence", "apache-2.0"))
    ]
    assert "taught by teacher" in (result.classifier.info.training or "")
    card = (tmp_path / "r" / "README.md").read_text()
    assert "answers of a teacher, teacher" in card
    assert "apache-2.0" in card
    assert str(tmp_path) not in card
    again = {"weights": str(tmp_path / "r"), "precision": "float32", "epochs": 1}
    tuned = train(patterns, "finetune", tmp_path / "tuned", "cpu", **again).classifier.info
    assert tuned.origin == Origin(weights="r", licence=None)
    assert tuned.origins_of_teachers == info.origins
    assert Classifier.load(tmp_path / "teacher").info.origin == info.origins[0]


def test_a_changed_or_missing_teacher_is_one_line(
    teacher: str, patterns: Path, tmp_path: Path
) -> None:
    mine = shutil.copytree(teacher, tmp_path / "mine")
    settings = SHORT | {"epochs": 1, "teacher": str(mine)}
    train(patterns, "distil", tmp_path / "r", "cpu", **settings)
    other = build_classifier(ImageSpec(48), ("waves", "squares", "dots", "stripes"))
    other.save(mine)
    for more in ({}, {"epochs": 2}):  # to resume and to extend it
        with pytest.raises(FoodvisionError, match="the teacher has changed since this run began"):
            train(patterns, None, tmp_path / "r", "cpu", resume=True, **more)
    shutil.rmtree(mine)
    with pytest.raises(ModelError, match=r"teacher .*mine: no such folder"):
        train(patterns, None, tmp_path / "r", "cpu", resume=True)
    for name, reason in (
        ("nowhere", "no such folder"),
        ("my.org/model", "downloaded from the Hub"),
    ):
        with pytest.raises(ModelError, match=rf"{name}: .*{reason}"):
            train(patterns, "distil", tmp_path / "new", "cpu", **SHORT, teacher=name)
