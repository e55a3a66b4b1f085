"""The model in the box, as it ships."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import pipeline

from foodvision.classifier.classifier import Classifier
from foodvision.classifier.describe import describe
from foodvision.classifier.exported import ExportedClassifier
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.deploy import Target, What
from foodvision.deploy.deploy import deploy
from foodvision.deploy.plan import Plan
from foodvision.drawings import draw_image
from foodvision.errors import FoodvisionError
from foodvision.evaluation import evaluate
from foodvision.export.ways import ways_to_run
from foodvision.training.plan import plan_run
from foodvision.training.settings import load_recipe
from foodvision.weights.box import BOX, GRAPHS, NETWORK
from foodvision.weights.licence import find_licence
from foodvision.weights.source import load_pretrained


def test_it_is_small_and_holds_no_photograph() -> None:
    files = [path for path in NETWORK.parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 36_000_000
    suffixes = {path.suffix for path in files}
    assert suffixes == {".csv", ".json", ".md", ".onnx", ".onnx_data", ".safetensors"}
    for file in files:
        content = file.read_bytes()
        for unwanted in (b"/home/", b"/tmp/", b"/work/", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n"):
            assert unwanted not in content, file


def test_predict_without_a_model_answers_by_it_and_imports_no_torch(tmp_path: Path) -> None:
    draw_image("pizza", 0).save(tmp_path / "pizza.png")
    code = (
        "import sys, foodvision.cli as cli\n"
        "sys.argv = ['foodvision', 'predict', 'pizza.png', '--json']\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'onnx', 'openvino'} & set(sys.modules), 'imported'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    assert set(answer["probabilities"]) == {"pizza", "steak", "sushi"}
    assert isinstance(answer["sure"], bool)


def test_its_files_are_one_model() -> None:
    graph, network = Classifier.load(BOX), TorchClassifier.load(BOX, "cpu")
    assert "graphs     onnx/int8" in describe(BOX)
    with pytest.raises(FoodvisionError, match="exported models run on the CPU"):
        Classifier.load(BOX, "cuda", "onnx/int8")
    assert isinstance(graph, ExportedClassifier)
    assert isinstance(Classifier.load(BOX, "cpu", "torch"), TorchClassifier)
    assert (graph.backend, graph.spec, graph.classes) == (
        "onnx/int8",
        network.spec,
        network.classes,
    )
    assert graph.info == network.info
    assert graph.limits is not None
    assert network.limits is not None
    images = [draw_image(name, seed) for name in network.classes for seed in range(4)]
    rounded, exact = (
        np.array([[p.probabilities[name] for name in network.classes] for p in found])
        for found in (graph.predict_many(images), network.predict_many(images))
    )
    # 0.02; the first box had 0.07 where products overflowed.
    assert np.abs(rounded - exact).max() < 0.03
    assert [way.run for way in ways_to_run(BOX, BOX, "cpu")] == [
        *("torch/float32", "torch/bf16", "onnx/int8")
    ]


def test_transformers_reads_it(tmp_path: Path) -> None:
    image = draw_image("sushi", 1)
    found = pipeline("image-classification", str(NETWORK))(image)
    ours = TorchClassifier.load(BOX, "cpu").predict(image).probabilities
    assert {row["label"]: pytest.approx(row["score"], abs=1e-3) for row in found} == ours


def test_it_was_made_as_its_recipe_says() -> None:
    info = TorchClassifier.load(BOX, "cpu").info
    models = {"weights": "OWNER/NAME", "teacher": "OWNER/NAME"}
    recipe = load_recipe("box", models).model_dump(mode="json")
    differ = {name for name, value in recipe.items() if info.recipe[name] != value}
    assert differ <= {*models, "precision"}  # which is decided by the machine
    assert info.teacher is not None
    for origin in info.teacher.origins:
        assert origin.licence == "apache-2.0"


def test_a_run_starts_from_it_and_learns_from_it(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")  # is not the box's
    monkeypatch.chdir(tmp_path)
    plan = plan_run({"weights": BOX, "teacher": BOX}, patterns)
    assert (plan.recipe.weights, plan.recipe.teacher) == (BOX, BOX)
    assert find_licence(BOX) == "mit"
    for out in (BOX, "./box"):
        with pytest.raises(FoodvisionError, match="choose another --out"):
            plan_run({}, patterns, out=out)


def test_training_starts_from_it() -> None:
    network = load_pretrained(BOX, num_classes=5).network
    assert network.config.num_classes == 5
    body, known = (
        {name: x for name, x in weights.items() if not name.startswith("head.")}
        for weights in (network.state_dict(), TorchClassifier.load(BOX, "cpu").network.state_dict())
    )
    assert body.keys() == known.keys()
    assert all(bool((body[name] == known[name]).all()) for name in body)


def test_it_goes_online_as_a_page_without_being_exported_anew(tmp_path: Path) -> None:
    deploy(Plan(BOX, Target.STATIC), tmp_path / "page")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "page/model").iterdir()}
    assert sizes == {path.name: path.stat().st_size for path in (GRAPHS / "onnx").iterdir()}
    card = (tmp_path / "page/README.md").read_text()
    assert "\nlicense: mit\n" in card
    assert "The weights are, or began as, box; their licence is mit." in card
    for said in ("Food-101", "int8, photographs", "**Not for** decisions"):
        assert said in card
    with pytest.raises(FoodvisionError, match=r"^--what caption: give MODEL"):
        Plan(BOX, Target.CPU, What.CAPTION)


def test_it_is_scored_as_a_graph_or_as_a_network(tmp_path: Path) -> None:
    for name in ("pizza", "steak"):
        (tmp_path / name).mkdir()
        draw_image(name, 0).save(tmp_path / name / "0.png")
    for backend, precision in (("onnx/int8", "int8"), ("torch", "float32")):
        report = evaluate(Classifier.load(BOX, "cpu", backend), tmp_path)
        assert (report.source.backend, report.source.precision) == (backend, precision)


def test_a_space_on_a_gpu_has_its_network_once(tmp_path: Path) -> None:
    deploy(Plan(BOX, Target.ZEROGPU), tmp_path / "space")
    (weights,) = (tmp_path / "space").rglob("model.safetensors")
    assert weights.parent.name == "model"
    assert weights.read_bytes() == (NETWORK / "model.safetensors").read_bytes()


def test_a_folder_named_box_is_another_model(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("box").symlink_to(saved)
    describe(BOX)
    assert "the folder is ./box" in caplog.text
    assert Classifier.load("box", "cpu").folder == GRAPHS
    assert Classifier.load("./box", "cpu").classes == TorchClassifier.load(saved, "cpu").classes
