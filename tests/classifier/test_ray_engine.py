"""What is planned and refused before Ray starts."""

from __future__ import annotations

import pytest

from foodvision.classifier.ray_engine import Actors, plan_actors, predict_on_ray
from foodvision.errors import DataError, FoodvisionError


def test_an_actor_has_a_gpu_or_the_cores_of_the_smallest_machine() -> None:
    small, large, head = {"CPU": 4.0}, {"CPU": 10.0, "memory": 1e9}, {"CPU": 0.0}
    assert plan_actors([head, small, large], "auto") == Actors(3, "cpu", 4, 0)
    with_gpus = [small, {"CPU": 16.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}]
    assert plan_actors(with_gpus, "auto") == Actors(3, "cuda", 1, 1)
    assert plan_actors(with_gpus, "cpu") == Actors(7, "cpu", 4, 0)
    with pytest.raises(FoodvisionError, match="--device cuda: the Ray cluster has no GPU"):
        plan_actors([small], "cuda")
    with pytest.raises(FoodvisionError, match="the Ray cluster has no CPU"):
        plan_actors([head], "auto")


def test_an_image_in_memory_is_refused_before_ray_starts() -> None:
    rows = predict_on_ray("model", "cpu", "torch", ["a.png", b"png"], 2, None)
    with pytest.raises(DataError, match="takes paths and addresses"):
        next(rows)
