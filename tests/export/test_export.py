from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import foodvision as fv
from foodvision.backends.runs import graph_file, weights_file
from foodvision.classifier.exported import ExportedClassifier
from foodvision.classifier.info import Export
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import load_dataset
from foodvision.data.splits import training_splits
from foodvision.drawings import draw_image
from foodvision.errors import FoodvisionError, MissingExtraError, ModelError
from foodvision.export import graph as graphs
from foodvision.export import triton
from foodvision.export.export import _write_config, export
from foodvision.export.int8 import dynamically_quantised
from foodvision.export.preprocessing import Preprocessing
from foodvision.export.verify import check_faster
from tests.conftest import CLASSES, build_torchvision_classifier

RUNS = ["onnx/float32", "openvino/float32"]


@pytest.mark.parametrize("run", RUNS)
def test_an_exported_folder_answers_as_the_network_does(
    trained: TorchClassifier, exported: Path, run: str, patterns: Path
) -> None:
    graph = ExportedClassifier.read(exported, run)
    sources: list[Any] = [draw_image("steak", 1), draw_image("sushi", 2).resize((90, 333))]
    sources += [b"no image", *sorted(patterns.rglob("*.png"))[:9]]
    expected, found = list(trained.predict_many(sources)), list(graph.predict_many(sources))
    assert [p.error for p in found] == [p.error for p in expected]
    assert {p.sure for p in expected} == {None, False, True} or len({p.sure for p in found}) > 1
    for a, b in zip(expected, found, strict=True):
        assert (a.path, a.label, a.sure) == (b.path, b.label, b.sure)
        for name in a.probabilities:
            assert abs(a.probabilities[name] - b.probabilities[name]) < 2e-3
    assert graph.predict(sources[0]).probabilities == found[0].probabilities
    assert graph.spec == trained.spec
    assert graph.limits == trained.limits
    assert repr(graph).startswith(f"Classifier({run} of ViT of 2 layers")


def test_graphs_say_what_they_take_and_share_their_weights(
    trained: TorchClassifier, exported: Path
) -> None:
    model, image = (onnxruntime.InferenceSession(exported / f"onnx/{name}.onnx")
                    for name in ("model", "image"))  # fmt: skip
    assert [(i.name, i.type, i.shape[1]) for i in model.get_inputs()] == [
        ("pixel_values", "tensor(float)", 3)
    ]
    assert [o.name for o in model.get_outputs()] == ["logits"]
    assert [(i.name, i.type, i.shape[-1]) for i in image.get_inputs()] == [
        ("image", "tensor(uint8)", 3)
    ]
    assert [o.name for o in image.get_outputs()] == ["probabilities", "distance", "logits"]
    said = model.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(said["classes"])) == CLASSES
    assert json.loads(said["image_spec"]) == json.loads(json.dumps(trained.spec.to_dict()))
    weights = sum(p.numel() * 4 for p in trained.network.parameters())
    files = {path.name: path.stat().st_size for path in (exported / "onnx").iterdir()}
    assert files.keys() == {"model.onnx", "image.onnx", "model.onnx_data"}
    assert sum(files.values()) < weights + 400_000
    for name in ("model", "image"):
        graph = onnx.load(exported / f"onnx/{name}.onnx")
        assert graph.opset_import[0].version >= 17
        assert "Resize" not in {node.op_type for node in graph.graph.node}
        assert str(Path(fv.__file__).parent).encode() not in graph.SerializeToString()


def test_transformers_js_can_open_it(
    trained: TorchClassifier, exported: Path, tmp_path: Path
) -> None:
    config = json.loads((exported / "config.json").read_text())
    assert config["model_type"] == "vit"
    expected = {"dtype": "fp32", "use_external_data_format": True}
    assert config["transformers.js_config"] == expected
    both = Export(runs=("onnx/float32", "onnx/int8"), limits={}, checks={})
    _write_config(trained, both, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["transformers.js_config"] == expected | {"dtype": "q8"}
    preprocessor = json.loads((exported / "preprocessor_config.json").read_text())
    assert not any(preprocessor[f"do_{step}"] for step in ("resize", "rescale", "normalize"))
    for name in ("model", "image"):  # its onnxruntime-web has no kernels for float64
        graph = onnx.shape_inference.infer_shapes(onnx.load(exported / f"onnx/{name}.onnx")).graph
        types = {value.type.tensor_type.elem_type for value in graph.value_info}
        assert onnx.TensorProto.FLOAT in types
        assert onnx.TensorProto.DOUBLE not in types


def test_batches_of_any_number_and_size(trained: TorchClassifier, exported: Path) -> None:
    session = onnxruntime.InferenceSession(exported / "onnx/model.onnx")
    for n, h, w in ((1, 50, 60), (2, 32, 32), (7, 61, 33)):
        pixels = np.random.default_rng(n).integers(0, 256, (n, 3, h, w)).astype(np.float32)
        (logits,) = session.run(None, {"pixel_values": pixels})
        with torch.inference_mode():
            x = Preprocessing(trained.spec)(torch.from_numpy(pixels))
            expected = trained.network(x)
        np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4)


def test_triton_is_told_what_its_graph_takes_and_returns(
    trained: TorchClassifier, exported: Path
) -> None:
    (folder,) = (exported / "triton").iterdir()
    session = onnxruntime.InferenceSession(folder / "1/model.onnx")
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("image", "tensor(uint8)", ["batch", "height", "width", 3])
    ]
    config = (folder / "config.pbtxt").read_text()
    assert 'name: "image", data_type: TYPE_UINT8, dims: [ -1, -1, 3 ]' in config
    outputs = re.findall(r'name: "(\w+)", data_type: TYPE_FP32, dims: \[ (\d+) ]', config)
    assert outputs == [("probabilities", "3"), ("distance", "1"), ("logits", "3")]
    assert [output.name for output in session.get_outputs()] == [name for name, _ in outputs]
    assert "max_batch_size: 32" in config
    assert (folder / "labels.txt").read_text().splitlines() == list(CLASSES)
    drawn = [draw_image("pizza", seed) for seed in range(3)]
    pixels = np.stack([np.array(image) for image in drawn])
    shares, distance, _ = session.run(None, {"image": pixels})
    assert distance.shape == (3,)
    for row, expected in zip(shares, trained.predict_many(drawn), strict=True):
        assert dict(zip(CLASSES, row, strict=True)) == pytest.approx(
            expected.probabilities, abs=1e-4
        )


def test_a_graph_for_triton_that_drifts_is_refused(
    trained: TorchClassifier, exported: Path, tmp_path: Path
) -> None:
    trained.save(tmp_path)
    other = TorchClassifier.load(tmp_path)
    with torch.no_grad():
        other.network.head.bias[0] += 0.1
    with pytest.raises(ModelError, match="the graph for Triton is not equal to the network"):
        triton.check(other, next(exported.glob("triton/*/1/model.onnx")), [draw_image("pizza", 0)])


def test_loading_and_predicting_imports_no_torch(exported: Path, patterns: Path) -> None:
    image = next(patterns.rglob("*.png"))
    code = (
        "import sys, foodvision.cli as cli\n"
        f"sys.argv = ['foodvision', 'predict', {str(image)!r}, '--model', {str(exported)!r}]\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'torchvision', 'onnx', 'nncf'} & set(sys.modules), 'imported'\n"
        "assert {'onnxruntime', 'openvino'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert any(name in done.stdout for name in CLASSES)


def test_a_cnn(tmp_path: Path) -> None:
    classifier = build_torchvision_classifier("resnet18")
    classifier.save(tmp_path / "run")
    (tmp_path / "run/split.csv").write_text("what it was trained on")
    checks = export(tmp_path / "run", ["onnx"], tmp_path / "cnn")
    assert (tmp_path / "cnn/split.csv").read_text() == "what it was trained on"
    assert checks["onnx/float32"].agreement == 1
    assert checks["onnx/float32"].max_difference < 1e-3
    graph = fv.Classifier.load(tmp_path / "cnn")
    assert graph.config == classifier.config
    config = json.loads((tmp_path / "cnn" / "config.json").read_text())
    assert config["model_type"] == "vit"  # transformers.js has no class for ours
    assert classifier.to_config()["model_type"] == "foodvision"
    image = draw_image("pizza", 3)
    assert graph.predict(image).label == classifier.predict(image).label
    assert graph.predict(image).sure is None


def test_int8_that_is_not_faster_is_refused_and_the_rest_is_kept(
    trained: TorchClassifier, patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = ExportedClassifier.predict
    monkeypatch.setattr("foodvision.backends.openvino.HAS_BF16", True)
    monkeypatch.setattr("foodvision.export.verify.MAX_LOSS", 0.1)
    monkeypatch.setattr("foodvision.export.verify.MIN_AGREEMENT", 0.5)
    seconds = {"onnx/int8": 0.04, "openvino/float32": 0.04}

    def slow(self: ExportedClassifier, source: Any) -> fv.Prediction:
        time.sleep(seconds.get(self.run, 0))
        return predict(self, source)

    monkeypatch.setattr(ExportedClassifier, "predict", slow)
    checks = export(trained, ["onnx", "openvino"], tmp_path / "out", patterns, int8=True)
    assert list(checks) == ["onnx/float32", "openvino/float32", "openvino/bf16", "openvino/int8"]
    fast, whole = checks["openvino/int8"], checks["openvino/float32"]
    assert fast.ms is not None
    assert fast.ms_float32 is not None
    assert fast.ms < fast.ms_float32
    assert whole.max_difference < fast.max_difference
    assert fast.log_loss_before == whole.log_loss_before is not None
    # Its limits are fitted to it on the validation images, whatever the network's are.
    splits = training_splits(load_dataset(patterns), 0, 0.15)
    sources = [example.source for example in splits.validation.images]
    rounded = ExportedClassifier.read(tmp_path / "out", "openvino/int8")
    assert rounded.limits != trained.limits
    assert np.mean([bool(p.sure) for p in rounded.predict_many(sources)]) > 0.9
    assert not np.mean([bool(p.sure) for p in trained.predict_many(sources)]) > 0.9
    names = {path.name for path in (tmp_path / "out" / "onnx").iterdir()}
    assert names == {"model.onnx", "image.onnx", "model.onnx_data"}
    graph = fv.Classifier.load(tmp_path / "out")
    assert isinstance(graph, ExportedClassifier)
    assert graph.run in checks
    assert fv.evaluate(graph, patterns).n == fv.evaluate(trained, patterns).n
    small, large = (
        weights_file(graph_file(tmp_path / "out", run, "image")).stat().st_size
        for run in ("openvino/int8", "openvino/float32")
    )
    assert small < large
    seconds["openvino/int8"] = 0.08
    with pytest.raises(ModelError, match=r"int8 is not faster here, and was not kept: .* ms per"):
        check_faster(fast, tmp_path / "out", "openvino/int8", sorted(patterns.rglob("*.png"))[:3])


def test_products_of_dynamic_int8_cannot_overflow(trained: TorchClassifier) -> None:
    graph = dynamically_quantised(graphs.to_onnx(trained, {})).graph
    small = [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    weights = [value for t in small if (value := onnx.numpy_helper.to_array(t)).ndim == 2]
    assert weights
    # Two neighbouring products with activations of 0-255 are summed in 16 bits without VNNI.
    assert 2 * 255 * max(np.abs(value.astype(int)).max() for value in weights) < 2**15


@pytest.mark.parametrize("fault", ["weights", "mean"])
def test_a_drifting_export_is_refused_and_leaves_nothing(
    fault: str, trained: TorchClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, init = graphs.to_onnx, Preprocessing.__init__

    def damaged(classifier: TorchClassifier, metadata: dict[str, str]) -> onnx.ModelProto:
        model = honest(classifier, metadata)
        largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        values = onnx.numpy_helper.to_array(largest).copy()
        values[: len(values) // 2] *= 1.3
        largest.raw_data = values.tobytes()
        return model

    def wrong_mean(self: Preprocessing, spec: fv.ImageSpec) -> None:
        init(self, spec)
        self.mean = self.mean + 8

    if fault == "weights":
        monkeypatch.setattr(graphs, "to_onnx", damaged)
    else:
        monkeypatch.setattr(Preprocessing, "__init__", wrong_mean)
    with pytest.raises(ModelError, match=r"onnx/float32 is not equal.*not kept: largest diff"):
        export(trained, ["onnx"], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_folder_is_one_line(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((exported / "config.json").read_text())
    config["foodvision"]["export"]["runs"] = ["onnx/float32"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"onnx/image\.onnx is missing; export the model again"):
        fv.Classifier.load(tmp_path)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx/image.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"onnx/image\.onnx is damaged"):
        fv.Classifier.load(tmp_path)
    monkeypatch.setattr("foodvision.backends.runs.is_installed", lambda _: False)
    with pytest.raises(MissingExtraError, match=r"foodvision\[export\]"):
        fv.Classifier.load(tmp_path)
    config["foodvision"]["export"]["runs"] = ["../../x/float32"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(FoodvisionError, match=r"config\.json: foodvision\.export\.runs"):
        fv.Classifier.load(tmp_path)
