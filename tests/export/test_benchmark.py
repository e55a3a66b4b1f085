from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from foodvision.errors import DataError, MissingExtraError, ModelError
from foodvision.evaluation import evaluate, speed
from foodvision.export import benchmark as module
from foodvision.export import ways
from foodvision.export.benchmark import benchmark
from foodvision.export.benchmarked import Benchmark
from tests.conftest import CLASSES, build_classifier


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IMAGES", 6)
    monkeypatch.setattr(speed, "ROUNDS", 1)


@pytest.fixture(scope="module")
def measured(saved: Path, exported: Path, patterns: Path) -> Benchmark:
    return benchmark([saved, exported], patterns, "cpu")


def test_a_row_for_each_precision_and_each_graph(measured: Benchmark) -> None:
    assert [(row.model, row.run) for row in measured.rows] == [
        ("saved", "torch/float32"),
        ("saved", "torch/bf16"),
        ("exported", "onnx/float32"),
        ("exported", "openvino/float32"),
    ]
    assert measured.images.startswith("test of ")
    assert measured.scored == 30
    for row in measured.rows:
        assert row.device == "cpu"
        assert row.threads >= 1
        assert row.images_per_second > 0
        stages = dict(row.milliseconds)
        total = stages.pop("total")
        resize = ["resize"] if row.run.startswith("torch") else []
        assert list(stages) == ["decode", *resize, "network"]
        assert all(0 < stage.p50 <= stage.p95 for stage in stages.values())
        assert total.p50 >= max(stage.p50 for stage in stages.values())


def test_agreement_and_log_loss_are_those_of_an_evaluation(
    measured: Benchmark, saved: Path, patterns: Path
) -> None:
    exact, small, *graphs = measured.rows
    assert [row.agreement for row in (exact, *graphs)] == [1.0, 1.0, 1.0]
    report = evaluate(saved, patterns)
    assert exact.log_loss == pytest.approx(report.log_loss, abs=1e-6)
    for graph in graphs:
        assert graph.log_loss == pytest.approx(report.log_loss, abs=1e-3)
    in_bf16 = evaluate(saved, patterns, precision="bf16")
    assert small.log_loss == pytest.approx(in_bf16.log_loss, abs=1e-6)
    assert small.log_loss != exact.log_loss


def test_models_are_compared_by_the_names_of_classes(
    saved: Path, patterns: Path, tmp_path: Path
) -> None:
    turned = build_classifier()
    weights = turned.network.head.weight.data, turned.network.head.bias.data
    for tensor in weights:
        tensor.copy_(tensor.roll(1, 0))
    turned.classes = (CLASSES[-1], *CLASSES[:-1])
    turned.save(tmp_path / "turned")
    rows = benchmark([saved, tmp_path / "turned"], patterns, "cpu").rows
    assert rows[2].agreement == 1.0
    assert rows[2].log_loss == pytest.approx(rows[0].log_loss, abs=1e-6)
    other = build_classifier(classes=("dots", "stripes", "nothing"))
    other.save(tmp_path / "other")
    with pytest.raises(DataError, match="other: class waves is not among the model's"):
        benchmark([saved, tmp_path / "other"], patterns, "cpu")


def test_drawings_are_timed_where_there_is_no_data(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DRAWINGS", 4)
    found = benchmark([exported])
    row = found.rows[0]
    assert (found.images, found.timed, found.scored) == ("drawings of 512 × 384 pixels", 4, 0)
    assert row.agreement is row.log_loss is None
    assert "agreement" not in found.summary()
    assert "its network includes resize" in found.summary()


def test_images_that_cannot_be_opened_are_left_out(
    saved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for label in CLASSES:
        (tmp_path / "photos" / label).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "photos" / label / "a.png")
    (tmp_path / "photos" / "dots" / "b.png").write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING):
        found = benchmark([saved], tmp_path / "photos", "cpu")
    assert found.timed == found.scored == 3
    assert "1 of 4 images cannot be opened and are left out" in caplog.text
    assert "dots/b.png" in caplog.text
    for path in (tmp_path / "photos").rglob("a.png"):
        path.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"no image of .* can be opened"):
        benchmark([saved], tmp_path / "photos", "cpu")


def test_graphs_without_their_runtime(
    exported: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ways, "is_installed", lambda run: False)
    with pytest.raises(MissingExtraError, match=r"foodvision\[export\]"):
        benchmark([exported])


def test_the_seconds_of_a_stage_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)

    def takes(seconds: float) -> Callable[[str], str]:
        def stage(value: str) -> str:
            clock.now += seconds
            return f"{value}{seconds:g}"

        return stage

    monkeypatch.setattr(ways, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    seen = []
    stages = {"decode": takes(1), "resize": takes(2), "network": takes(4), "end": seen.append}
    way = ways.Way("a", "b", None, "float32", 1, stages)  # type: ignore[arg-type]
    assert way.time("x") == {"decode": 1, "resize": 2, "network": 4, "end": 0}
    assert seen == ["x124"]
    spreads = module._spreads([{"decode": i / 1000, "network": 0.1} for i in range(101)])
    assert spreads["decode"] == pytest.approx((50, 95))
    assert spreads["total"] == pytest.approx((150, 195))
    assert list(spreads) == ["decode", "network", "total"]


def test_an_unknown_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nosuch: no such model folder"):
        benchmark([tmp_path / "nosuch"])
    with pytest.raises(ValueError, match="no model"):
        benchmark([])


def test_a_missing_graph_is_named(exported: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(exported, tmp_path / "broken")
    (broken / "onnx" / "image.onnx").unlink()
    with pytest.raises(ModelError, match=r"image\.onnx is missing"):
        benchmark([broken])
