from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from foodvision.data import load_dataset
from foodvision.paper.collapse import CHANGES, AnswersAfterEpoch, answers_by_epoch
from foodvision.training.settings import load_recipe

TINY = {
    **{"network": "vit_ti8", "num_layers": 2, "image_size": 32, "batch_size": 16},
    **{"epochs": 3, "dropout": 0.0},
}


def answers(patterns: Path, **settings: object) -> list[AnswersAfterEpoch]:
    recipe = load_recipe("scratch_course", TINY | settings)
    return answers_by_epoch(load_dataset(patterns), recipe, "cpu")


def test_coupled_decay_collapses_to_one_class(patterns: Path) -> None:
    """A decay of 30 does at once what 0.3 does to ViT-B/16 in an epoch."""
    epochs = answers(patterns, weight_decay=30)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3]
    for epoch in epochs:
        assert epoch.only in ("dots", "stripes", "waves")
        assert epoch.answers[epoch.only] == epoch.score.n == 30
        assert epoch.score.accuracy == pytest.approx(1 / 3)
    assert replace(epochs[0], answers={"dots": 29, "stripes": 0, "waves": 1}).only is None


def test_answers_are_those_of_the_network_and_training_is_repeatable(patterns: Path) -> None:
    settings = {"optimizer": "adamw", "learning_rate": 1e-3, "epochs": 1}
    first, again = (answers(patterns, **settings)[0] for _ in range(2))
    assert first == again
    assert first.train_loss > 0.5
    assert first.score.log_loss == pytest.approx(first.score.course_log_loss)  # one batch
    assert str(first).startswith("epoch 1 answers ")


def test_changes_are_settings_of_the_courses_recipe() -> None:
    recipe = load_recipe("scratch_course")
    for name, changes in CHANGES.items():
        changed = load_recipe("scratch_course", changes)
        for setting, value in changes.items():
            assert getattr(recipe, setting) != getattr(changed, setting) == value, name
