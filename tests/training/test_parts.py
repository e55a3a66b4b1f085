"""The loop's parts: optimiser, schedule, randomness, batches, loss."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from foodvision.data import Pictures, load_dataset
from foodvision.data.sources import FolderStore
from foodvision.images import ImageSpec
from foodvision.models import ViT, ViTConfig
from foodvision.training import load_recipe
from foodvision.training.batches import training_loader, validation_loader
from foodvision.training.loop import class_weights, weighted_cross_entropy
from foodvision.training.optim import build_optimizer, learning_rate_factor, parameter_groups
from foodvision.training.randomness import SAMPLE, STEP, seed_for, seeded

SMALL = {"image_size": 32, "num_layers": 1, "batch_size": 16}


def test_weight_decay_is_on_matrices_only() -> None:
    network = ViT(ViTConfig.named("vit_ti8", image_size=16))
    decayed, undecayed = parameter_groups(network, 0.3)
    names = {id(weight): name for name, weight in network.named_parameters()}
    assert decayed["weight_decay"] == 0.3
    assert undecayed["weight_decay"] == 0
    free = {names[id(weight)] for weight in undecayed["params"]}
    assert {"embedding.x_class", "embedding.E_pos", "norm.weight", "head.bias"} <= free
    assert all("norm" in n or n.endswith(("bias", "x_class", "E_pos")) for n in free)
    assert len(free) + len(decayed["params"]) == len(names)


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_optimizer_is_the_recipes(kind: str) -> None:
    recipe = load_recipe("scratch", {"optimizer": kind, "weight_decay": 0.2})
    optimizer = build_optimizer(torch.nn.Linear(2, 2), recipe)
    assert type(optimizer).__name__.lower() == kind
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.0]


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_learning_rate_warms_up_and_falls(schedule: str) -> None:
    recipe = load_recipe("scratch", {"schedule": schedule, "warmup_fraction": 0.2})
    factors = [learning_rate_factor(step, 100, recipe) for step in range(100)]
    assert factors[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert factors[20] == 1.0
    assert factors[60] == pytest.approx(0.5)
    assert all(a > b for a, b in itertools.pairwise(factors[20:]))
    assert 0 < factors[99] < 0.02


def test_random_choices_depend_on_what_they_are_for_only() -> None:
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
    pictures: Pictures, workers: int, epoch: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    recipe = load_recipe(
        "scratch", SMALL | {"num_workers": workers, "auto_augment": "randaugment", "seed": 4}
    )
    loader, sampler = training_loader(pictures, ImageSpec(32), recipe)
    sampler.epoch = epoch
    torch.rand(workers + epoch)  # whatever was drawn before must not matter
    return [(pixels.clone(), labels.clone()) for pixels, labels in loader]


def test_batches_do_not_depend_on_workers_or_on_history(patterns: Path) -> None:
    pictures = load_dataset(patterns).splits["train"]
    alone, helped, later = (epoch_of(pictures, *args) for args in ((0, 1), (2, 1), (0, 2)))
    assert len(alone) == 90 // 16
    for (x, y), (other_x, other_y) in zip(alone, helped, strict=True):
        assert x.equal(other_x)
        assert y.equal(other_y)
    assert not all(y.equal(other) for (_, y), (_, other) in zip(alone, later, strict=True))


def test_validation_batches_are_every_picture_in_order(patterns: Path) -> None:
    pictures = load_dataset(patterns).splits["test"]
    batches = list(validation_loader(pictures, ImageSpec(32), load_recipe("scratch", SMALL)))
    assert torch.cat([labels for _, labels in batches]).tolist() == pictures.labels.tolist()
    spec = ImageSpec(32)
    assert batches[0][0][3].equal(spec.prepare(spec.open(pictures[3].source)))


def test_unweighted_loss_is_torchs() -> None:
    logits, labels = torch.randn(8, 3), torch.randint(0, 3, (8,))
    torch.testing.assert_close(
        weighted_cross_entropy(logits, labels, torch.ones(3), 0.1),
        F.cross_entropy(logits, labels, label_smoothing=0.1),
    )


def test_balanced_weights_and_the_shift_that_takes_them_out() -> None:
    """The minimiser of the balanced loss, shifted by −log w, is the true distribution."""
    store = FolderStore(Path(), ["x"] * 100)
    labels = np.array([0] * 80 + [1] * 15 + [2] * 5)
    pictures = Pictures(store, ("a", "b", "c"), labels)
    weights = class_weights(pictures, load_recipe("scratch", {"class_weights": "balanced"}))
    assert weights == pytest.approx([100 / 240, 100 / 45, 100 / 15])
    assert weights[labels].mean() == pytest.approx(1.0)

    logits = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = weighted_cross_entropy(
            logits.expand(100, 3), torch.tensor(labels), torch.tensor(weights), 0.0
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    balanced = torch.softmax(logits.detach(), 0)
    honest = torch.softmax(logits.detach() - torch.tensor(weights).log(), 0)
    assert balanced.tolist() == pytest.approx([1 / 3] * 3, abs=1e-3)
    assert honest.tolist() == pytest.approx([0.8, 0.15, 0.05], abs=1e-3)
