"""The loop's parts: optimiser, schedule, randomness, batches, loss."""

from __future__ import annotations

import io
import itertools
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console

from foodvision.data import LabelledImages, load_dataset
from foodvision.data.stores import FolderStore
from foodvision.errors import RecipeError
from foodvision.images import ImageSpec
from foodvision.images.transforms import open_pixels, prepare
from foodvision.models.config import ViTConfig
from foodvision.models.vit import ViT
from foodvision.training import memory
from foodvision.training.batches import training_loader, validation_loader
from foodvision.training.loss import class_weights, mixed, weighted_cross_entropy
from foodvision.training.memory import OpenedImages
from foodvision.training.muon import Muon
from foodvision.training.optim import (
    HIDDEN,
    MATRICES,
    OTHERS,
    build_optimizers,
    groups_table,
    learning_rate_factor,
    parameter_groups,
    set_learning_rate,
    update_average,
)
from foodvision.training.order import TrainingBatches
from foodvision.training.randomness import SAMPLE, STEP, seed_for, seeded
from foodvision.training.settings import load_recipe

SMALL = {"image_size": 32, "num_layers": 1, "batch_size": 16}


def named_groups(network: ViT, **settings: object) -> list[tuple[dict[str, Any], set[str]]]:
    names = {id(weight): name for name, weight in network.named_parameters()}
    groups = parameter_groups(network, load_recipe("scratch", settings))
    return [(group, {names[id(weight)] for weight in group["params"]}) for group in groups]


def test_every_parameter_is_in_one_group() -> None:
    network = ViT(ViTConfig.named("vit_ti8", image_size=16))
    kinds = {group["kind"]: names for group, names in named_groups(network)}
    hidden, matrices, others = (kinds[kind] for kind in (HIDDEN, MATRICES, OTHERS))
    assert len(hidden) + len(matrices) + len(others) == len(list(network.parameters()))
    assert len(hidden) == 12 * 4
    assert all(name.startswith("blocks.") for name in hidden)
    assert matrices == {"embedding.E.weight", "head.weight"}
    assert all("norm" in n or n.endswith(("bias", "x_class", "E_pos")) for n in others)


def test_earlier_layers_learn_more_slowly() -> None:
    """BEiT's numbering: embedding 0, layers 1 to 12; everything after them has the full rate."""
    network = ViT(ViTConfig.named("vit_ti8", image_size=16))
    recipe = load_recipe("scratch", {"optimizer": "adamw", "layer_decay": 0.5})
    optimizers = build_optimizers(network, recipe)
    set_learning_rate(optimizers, recipe, 10, 100)  # the end of the warm-up
    names = {id(weight): name for name, weight in network.named_parameters()}
    found = {}
    for group in optimizers[0].param_groups:
        for weight in group["params"]:
            layer = re.match(r"(embedding|head|norm|blocks\.\d+)", names[id(weight)])[0]
            found.setdefault(layer, set()).add(group["lr"] / recipe.learning_rate)
    expected = {"embedding": 0.5**13, "norm": 1.0, "head": 1.0}
    expected |= {f"blocks.{i}": 0.5 ** (12 - i) for i in range(12)}
    assert found == {layer: {scale} for layer, scale in expected.items()}
    console = Console(width=160, file=io.StringIO())
    console.print(groups_table(optimizers))
    assert "0.0001221" in console.file.getvalue()  # the embedding's


def test_frozen_parameters_are_in_no_group() -> None:
    network = ViT(ViTConfig.named("vit_ti8", image_size=16))
    for stage in network.stages():
        stage.requires_grad_(False)
    found = set().union(*(names for _, names in named_groups(network, optimizer="adamw")))
    assert found == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("kind", "kinds"), [("adamw", ["AdamW"]), ("sgd", ["SGD"]), ("muon", ["Muon", "AdamW"])]
)
def test_optimizers_follow_the_recipe(kind: str, kinds: list[str]) -> None:
    recipe = load_recipe("scratch", {"optimizer": kind, "weight_decay": 0.2})
    network = ViT(recipe.vit_config(3))
    optimizers = build_optimizers(network, recipe)
    assert [type(each).__name__ for each in optimizers] == kinds
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    assert [group["weight_decay"] == 0 for group in groups] == [
        group["kind"] == OTHERS for group in groups
    ]
    assert set_learning_rate(optimizers, recipe, 0, 1000) == recipe.learning_rate / 100
    assert {group["lr"] for group in groups} == {recipe.learning_rate / 100}


def test_adam_is_torchs_with_l2_on_every_parameter() -> None:
    settings = {"optimizer": "adam", "weight_decay": 0.3, "learning_rate": 3e-3}
    recipe = load_recipe("scratch", SMALL | settings)
    torch.manual_seed(0)
    # In float64: Adam divides by the gradient's size, so a gradient of rounding errors is a step.
    networks = [ViT(recipe.vit_config(3)).double() for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    (ours,) = build_optimizers(networks[0], recipe)
    theirs = torch.optim.Adam(networks[1].parameters(), lr=3e-3, weight_decay=0.3)
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    for _ in range(2):
        for network, optimizer in zip(networks, (ours, theirs), strict=True):
            optimizer.zero_grad()
            network(x).square().sum().add(network(x).sum()).backward()
            optimizer.step()
    for name, weight in networks[0].named_parameters():
        torch.testing.assert_close(weight, networks[1].get_parameter(name), msg=name)


@pytest.mark.parametrize(("dtype", "error"), [(torch.bfloat16, 0.0), (torch.float32, 0.02)])
def test_muon_takes_the_steps_of_torchs(dtype: torch.dtype, error: float) -> None:
    """Exactly in bf16, in which torch's has about three digits; they resume from one another."""
    torch.manual_seed(0)
    start = [torch.randn(24, 8), torch.randn(8, 24), torch.randn(16, 16)]
    gradients = [[torch.randn_like(matrix) for matrix in start] for _ in range(3)]
    after = []
    for build in (
        partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw"),
        partial(Muon, dtype=dtype),
    ):
        matrices = [torch.nn.Parameter(matrix.clone()) for matrix in start]
        optimizer = build(matrices, lr=0.1)
        for of_step in gradients:
            for matrix, gradient in zip(matrices, of_step, strict=True):
                matrix.grad = gradient.clone()
            optimizer.step()
        after.append([matrix.detach() for matrix in matrices])
        states = [state.keys() for state in optimizer.state.values()]
        assert states == [{"momentum_buffer"}] * 3
    for before, wanted, found in zip(start, *after, strict=True):
        assert (found - wanted).norm() <= error * (wanted - before).norm()


def test_muon_steps_are_orthogonal_and_as_large_as_adamw_steps() -> None:
    recipe = load_recipe("scratch", {"optimizer": "muon", "weight_decay": 0.0})
    network = ViT(recipe.vit_config(3))
    matrix = network.blocks[0].mlp[0].weight
    before = matrix.detach().clone()
    matrix.grad = torch.randn(matrix.shape)
    build_optimizers(network, recipe)[0].step()
    change = (matrix.detach() - before) / recipe.learning_rate
    assert change.square().mean().sqrt() == pytest.approx(0.2, rel=0.15)
    values = torch.linalg.svdvals(change)
    assert values.max() < 2 * values.median() < 4 * values.min()


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_learning_rate_warms_up_and_falls(schedule: str) -> None:
    recipe = load_recipe("scratch", {"schedule": schedule, "warmup_fraction": 0.2})
    factors = [learning_rate_factor(step, 100, recipe) for step in range(100)]
    assert factors[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert factors[20] == 1.0
    assert factors[60] == pytest.approx(0.5)
    assert all(a > b for a, b in itertools.pairwise(factors[20:]))
    assert 0 < factors[99] < 0.02


def test_a_constant_rate_is_constant() -> None:
    recipe = load_recipe("scratch", {"schedule": "constant", "warmup_fraction": 0.2})
    assert [learning_rate_factor(step, 10, recipe) for step in range(4)] == [0.5, 1.0, 1.0, 1.0]


def test_random_choices_depend_only_on_their_purpose() -> None:
    with seeded(0, SAMPLE, 3, 5):
        first = torch.rand(3)
    torch.rand(7)
    with seeded(0, SAMPLE, 3, 5):
        assert torch.rand(3).equal(first)
    others = {
        seed_for(0, SAMPLE, 3, 6),
        seed_for(0, SAMPLE, 4, 5),
        seed_for(1, SAMPLE, 3, 5),
        seed_for(0, STEP, 3, 5),
        seed_for(0, SAMPLE, 3, 5),
    }
    assert len(others) == 5


def test_drawing_for_a_sample_leaves_the_callers_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    with seeded(5, SAMPLE, 1):
        torch.rand(100)
    assert torch.rand(2).equal(expected)


def epoch_of(
    images: LabelledImages, workers: int, epoch: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    recipe = load_recipe(
        "scratch", SMALL | {"num_workers": workers, "auto_augment": "randaugment", "seed": 4}
    )
    loader, sampler = training_loader(OpenedImages(images, ImageSpec(32)), recipe)
    sampler.epoch = epoch
    torch.rand(workers + epoch)  # earlier draws must not matter
    return [(pixels.clone(), labels.clone()) for pixels, labels, *_ in loader]


def test_batches_do_not_depend_on_workers_or_on_history(patterns: Path) -> None:
    images = load_dataset(patterns).splits["train"]
    alone, helped, later = (epoch_of(images, *args) for args in ((0, 1), (2, 1), (0, 2)))
    assert len(alone) == 90 // 16
    for (x, y), (other_x, other_y) in zip(alone, helped, strict=True):
        assert x.equal(other_x)
        assert y.equal(other_y)
    assert not all(y.equal(other) for (_, y), (_, other) in zip(alone, later, strict=True))


def test_an_epoch_resumes_at_the_next_batch(patterns: Path) -> None:
    images, recipe = load_dataset(patterns).splits["train"], load_recipe("scratch", SMALL)
    loader, sampler = training_loader(OpenedImages(images, ImageSpec(32)), recipe)
    sampler.epoch = 3
    whole = [pixels for pixels, *_ in loader]
    sampler.start = 2
    rest = [pixels for pixels, *_ in loader]
    assert len(rest) == len(whole) - 2
    assert all(a.equal(b) for a, b in zip(rest, whole[2:], strict=True))


def test_ranks_divide_every_batch(patterns: Path) -> None:
    recipe = load_recipe("scratch", SMALL | {"batch_size": 50})
    for images, size in ((120, 50), (7, 7)):  # 7: the only batch is smaller
        ranks = [[*TrainingBatches(images, recipe, rank, 3)] for rank in range(3)]
        whole = [*TrainingBatches(images, recipe)]
        parts = zip(*ranks, strict=True)
        assert [list(itertools.chain(*of_batch)) for of_batch in parts] == whole
        assert {len(batch) for batch in whole} == {size}
    with pytest.raises(RecipeError, match="3 processes cannot share a batch of 2 images"):
        TrainingBatches(2, recipe, 0, 3)


def test_validation_batches_are_every_image_in_order(patterns: Path) -> None:
    images = load_dataset(patterns).splits["test"]
    batches = list(
        validation_loader(OpenedImages(images, ImageSpec(32)), load_recipe("scratch", SMALL))
    )
    assert torch.cat([labels for _, labels in batches]).tolist() == images.labels.tolist()
    spec = ImageSpec(32)
    assert batches[0][0][3].equal(prepare(open_pixels(images[3].source, spec), spec))


@pytest.mark.parametrize("mode", ["crop", "pad"])
def test_kept_images_equal_newly_decoded_ones(
    mode: str, patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of several sizes, with and without worker processes."""
    for i, image in enumerate((patterns / "train").rglob("*.png")):
        path = tmp_path / image.parent.name / image.name
        path.parent.mkdir(exist_ok=True)
        Image.open(image).resize((30 + i % 7, 50 - i % 5)).save(path)
    images = load_dataset(tmp_path).splits["all"]
    recipe = load_recipe("scratch", SMALL | {"resize_mode": mode})
    spec = recipe.image_spec()
    kept = list(training_loader(OpenedImages(images, spec), recipe)[0])
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 90 * 30 * 45 * 3)
    anew = list(training_loader(OpenedImages(images, spec), recipe)[0])
    for (x, y, *_), (other_x, other_y, *_) in zip(kept, anew, strict=True):
        assert x.equal(other_x)
        assert y.equal(other_y)


def test_small_datasets_are_decoded_once_and_large_ones_in_every_epoch(
    patterns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, spec = load_dataset(patterns).splits["test"], ImageSpec(32)
    opened: list[object] = []

    def counted(source: Path, spec: ImageSpec) -> torch.Tensor:
        opened.append(source)
        return open_pixels(source, spec)

    monkeypatch.setattr(memory, "open_pixels", counted)
    small = OpenedImages(images, spec)
    opened.clear()
    assert [small[i][1] for i in range(len(small))] == images.labels.tolist()
    assert not opened
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 1000)
    large = OpenedImages(images, spec)
    opened.clear()
    assert large[3][0].equal(small[3][0])
    assert opened == [images[3].source]


def test_large_images_that_the_probes_miss_are_not_kept(
    patterns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = load_dataset(patterns).splits["train"]
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 10_000)
    monkeypatch.setattr(OpenedImages, "_expected_bytes", lambda self: 0)
    opened = OpenedImages(images, ImageSpec(32))
    assert len(opened._sizes) == 0
    assert opened[3][0].equal(open_pixels(images[3].source, ImageSpec(32)))


def test_mixed_images_match_their_targets() -> None:
    """Each image is filled with its class number, so each class's share can be read off."""
    labels = torch.arange(8) % 3
    pixels = labels.float()[:, None, None, None].expand(8, 3, 32, 32).clone()
    torch.manual_seed(0)
    for settings in ({"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}):
        recipe = load_recipe("scratch", {"mixup": 0, "cutmix": 0, "mix_probability": 1} | settings)
        mixed_pixels, targets = mixed(pixels, labels, recipe, 3)
        assert targets.sum(dim=1).tolist() == pytest.approx([1.0] * 8)
        seen = mixed_pixels.mean(dim=(1, 2, 3))
        assert (targets @ torch.arange(3.0)).tolist() == pytest.approx(seen.tolist(), abs=1e-5)
        assert not mixed_pixels.equal(pixels)


def test_mixing_has_the_given_probability() -> None:
    pixels, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    recipe = load_recipe("scratch", {"mixup": 1.0, "cutmix": 0.0, "mix_probability": 0.25})
    torch.manual_seed(0)
    untouched = [mixed(pixels, labels, recipe, 3) for _ in range(400)]
    share = np.mean([not x.equal(pixels) for x, _ in untouched])
    assert share == pytest.approx(0.25, abs=0.06)
    plain = load_recipe("scratch", {"mixup": 0, "cutmix": 0})
    assert mixed(pixels, labels, plain, 3)[1].equal(F.one_hot(labels, 3).float())


def test_average_follows_the_weights_and_warms_up() -> None:
    network, average = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    expected = 1.0
    for step in range(1, 200):
        network.weight.data.fill_(float(step))
        network.running_mean.fill_(float(step))
        update_average(average, network, decay=0.9, step=step)
        share = max(0.1, 1 - (1 + step) / (10 + step))
        expected += share * (step - expected)
    assert average.weight.item() == pytest.approx(expected, rel=1e-5)
    assert average.running_mean.item() == 199


def test_unweighted_loss_equals_torch() -> None:
    logits, labels = torch.randn(8, 3), torch.randint(0, 3, (8,))
    torch.testing.assert_close(
        weighted_cross_entropy(logits, F.one_hot(labels, 3).float(), torch.ones(3), 0.1),
        F.cross_entropy(logits, labels, label_smoothing=0.1),
    )


def test_balanced_weights_and_the_shift_that_removes_them() -> None:
    """The minimiser of the balanced loss, shifted by −log w, is the true distribution."""
    store = FolderStore(Path(), ["x"] * 100)
    labels = np.array([0] * 80 + [1] * 15 + [2] * 5)
    images = LabelledImages(store, ("a", "b", "c"), labels)
    weights = class_weights(images, load_recipe("scratch", {"class_weights": "balanced"}))
    assert weights == pytest.approx([100 / 240, 100 / 45, 100 / 15])
    assert weights[labels].mean() == pytest.approx(1.0)
    unused = LabelledImages(store, ("a", "b", "c", "no image"), labels)
    recipe = load_recipe("scratch", {"class_weights": "balanced"})
    assert class_weights(unused, recipe)[:3].tolist() == weights.tolist()
    assert np.isfinite(class_weights(unused, recipe)).all()

    targets = F.one_hot(torch.tensor(labels), 3).float()
    logits = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = weighted_cross_entropy(logits.expand(100, 3), targets, torch.tensor(weights), 0.0)
        loss.backward()
        return loss

    optimizer.step(closure)
    balanced = torch.softmax(logits.detach(), 0)
    honest = torch.softmax(logits.detach() - torch.tensor(weights).log(), 0)
    assert balanced.tolist() == pytest.approx([1 / 3] * 3, abs=1e-3)
    assert honest.tolist() == pytest.approx([0.8, 0.15, 0.05], abs=1e-3)
