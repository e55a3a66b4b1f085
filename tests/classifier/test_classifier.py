from __future__ import annotations

import io
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import markdown_it
import numpy as np
import pytest
import torch
import transformers
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from foodvision.classifier.info import ModelInfo, TrainingData
from foodvision.classifier.predict import Prediction
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import ImageError, ModelError
from foodvision.images import ImageSpec, open_image
from foodvision.models.config import ViTConfig
from foodvision.models.vit import ViT
from tests.conftest import CLASSES, build_classifier


def photo(height: int, width: int, mode: str = "RGB") -> Image.Image:
    """Smooth, so that JPEG changes it little."""
    random = np.random.default_rng([height, width])
    small = Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def write_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write images that transformers opens as foodvision does, and others that it does not."""
    # Differences to 32 px of 1, 3, 7, 11: odd ones are where centre crops disagree.
    sizes = [(32, 32), (33, 47), (47, 36), (100, 39), (64, 43), (41, 75), (35, 32), (32, 39)]
    same, other = [], []
    for height, width in sizes:
        same.append(folder / f"{height}x{width}.jpg")
        photo(height, width).save(same[-1])
    for mode in ("L", "CMYK"):
        same.append(folder / f"{mode}.jpg")
        photo(50, 71, mode).save(same[-1])
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        same.append(folder / f"exif{orientation}.jpg")
        photo(45, 70).save(same[-1], exif=exif)
    transparent = photo(50, 60, "RGBA")
    transparent.putalpha(Image.linear_gradient("L").resize((60, 50)))
    other.append(folder / "alpha.png")
    transparent.save(other[-1])
    other.append(folder / "palette.png")
    photo(50, 60).quantize(16).save(other[-1], transparency=3)
    other.append(folder / "grey16.png")
    values = np.linspace(0, 65535, 50 * 60).reshape(50, 60).astype(np.uint16)
    Image.fromarray(values).save(other[-1])
    return same, other


@pytest.mark.parametrize("mode", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [32, (24, 40)])
def test_transformers_pipeline_gives_our_probabilities(
    mode: str, size: int | tuple[int, int], tmp_path: Path
) -> None:
    build_classifier(ImageSpec(size, mode)).save(tmp_path / "model")
    loaded = TorchClassifier.load(tmp_path / "model")
    pipeline = transformers.pipeline("image-classification", model=str(tmp_path / "model"))
    same, other = write_files(tmp_path)
    assert len(same) + len(other) > 20
    answers = []
    for path, image in [*((p, str(p)) for p in same), *((p, open_image(p)) for p in other)]:
        expected = {row["label"]: row["score"] for row in pipeline(image)}
        got = loaded.predict(path).probabilities
        assert got == pytest.approx(expected, abs=1e-4), path.name
        answers.append(got["dots"])
    assert np.std(answers) > 5e-3  # otherwise the network ignores the image


def test_folder_equals_what_transformers_writes(
    tmp_path: Path, classifier: TorchClassifier
) -> None:
    classifier.save(tmp_path / "saved")
    model = transformers.ViTForImageClassification.from_pretrained(tmp_path / "saved")
    model.save_pretrained(tmp_path / "resaved")
    loaded = load_file(tmp_path / "saved" / "model.safetensors")
    library = load_file(tmp_path / "resaved" / "model.safetensors")
    assert loaded.keys() == library.keys()
    assert all(loaded[name].equal(library[name]) for name in loaded)
    assert model.config.id2label == dict(enumerate(CLASSES))


def test_folder_that_transformers_wrote_loads(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        image_size=32,
        patch_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        hidden_size=16,
        intermediate_size=24,
        qkv_bias=False,
        layer_norm_eps=1e-5,
        id2label={0: "no", 1: "yes"},
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    loaded = TorchClassifier.load(tmp_path)
    assert loaded.classes == ("no", "yes")
    assert loaded.network.config.layer_norm_eps == 1e-5
    assert loaded.spec.resize_mode == "squash"
    pipeline = transformers.pipeline("image-classification", model=str(tmp_path))
    expected = {row["label"]: row["score"] for row in pipeline(photo(50, 70))}
    assert loaded.predict(photo(50, 70)).probabilities == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("settings", [{}, {"pooling": "average"}])
def test_saving_and_loading_changes_nothing(tmp_path: Path, settings: dict[str, str]) -> None:
    classifier = build_classifier(ImageSpec((24, 40), "pad"), **settings)
    info = ModelInfo(training="3 epochs", recipe={"epochs": 3})
    classifier = TorchClassifier(classifier.network, classifier.spec, classifier.classes, info)
    before = classifier.predict(photo(50, 70))
    classifier.save(tmp_path)
    loaded = TorchClassifier.load(tmp_path)
    for name, tensor in classifier.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor), name
    # Not bit for bit: kernels may sum in another order if the weights are aligned differently.
    assert loaded.predict(photo(50, 70)).probabilities == pytest.approx(before.probabilities, 1e-6)
    assert loaded.spec == classifier.spec
    assert loaded.info == classifier.info


def test_models_that_transformers_cannot_express_are_reported(tmp_path: Path) -> None:
    build_classifier(pooling="average").save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "foodvision"
    assert "transformers cannot express" in (tmp_path / "README.md").read_text()


def test_loading_draws_no_random_number(tmp_path: Path, classifier: TorchClassifier) -> None:
    classifier.save(tmp_path)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    TorchClassifier.load(tmp_path)
    assert torch.rand(1).equal(expected)


def test_prediction(classifier: TorchClassifier, tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    photo(40, 40).save(path)
    prediction = classifier.predict(path)
    assert prediction.path == str(path)
    assert set(prediction.probabilities) == set(CLASSES)
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-12)
    assert next(iter(prediction.probabilities)) == prediction.label
    assert prediction.probability == max(prediction.probabilities.values())
    assert prediction.sure is None
    assert prediction.error is None
    content = path.read_bytes()
    for source in (content, io.BytesIO(content), open_image(path)):
        assert classifier.predict(source).probabilities == prediction.probabilities


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_many_images_keep_their_order_and_bad_ones_do_not_stop_the_others(
    classifier: TorchClassifier, batch_size: int
) -> None:
    images: list[Image.Image | bytes] = [photo(40 + i, 50) for i in range(10)]
    images[4] = b"broken"
    images[9] = b""
    answers = list(classifier.predict_many(iter(images), batch_size))
    for i, (image, answer) in enumerate(zip(images, answers, strict=True)):
        if i in (4, 9):
            assert answer.label is None
            assert answer.error
        else:
            expected = classifier.predict(image).probabilities
            assert answer.probabilities == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ImageError):
        classifier.predict(b"broken")


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, None])
def test_a_wrong_batch_size_is_an_error_at_the_call(
    classifier: TorchClassifier, batch_size: object
) -> None:
    for call in (classifier.predict_many, classifier.logits):
        with pytest.raises(ValueError, match="batch_size must be a whole number from 1"):
            call([photo(40, 40)], batch_size)


def test_logits_that_are_not_finite_are_no_answer(classifier: TorchClassifier) -> None:
    with torch.no_grad():
        classifier.network.head.bias.fill_(float("inf"))
    with pytest.raises(ModelError, match="logits are not finite numbers"):
        classifier.predict(photo(40, 40))
    with pytest.raises(ModelError, match="logits are not finite numbers"):
        next(classifier.predict_many([photo(40, 40)]))


def test_arrays_are_images(classifier: TorchClassifier) -> None:
    image = photo(40, 50)
    expected = classifier.predict(image).probabilities
    pixels = np.array(image)
    for source in (pixels, torch.from_numpy(pixels).permute(2, 0, 1)):
        assert classifier.predict(source).probabilities == expected
    wrong = next(classifier.predict_many([pixels / 255]))
    assert wrong.error == (
        "an array of an image is uint8 of shape (H, W, 3) or (H, W), not float64 of (40, 50, 3)"
    )


def test_repr_is_one_line() -> None:
    assert repr(build_classifier(classes=("a", "b\n\x1b[31m"))) == (
        "Classifier(ViT of 2 layers, hidden size 24, 3 heads, patch 8; 32 × 32 px; "
        r"2 classes: a, b\n\x1b[31m; cpu)"
    )


@pytest.mark.skipif(os.name == "nt", reason="no such permissions")
def test_weights_have_the_permissions_of_their_siblings(
    classifier: TorchClassifier, tmp_path: Path
) -> None:
    before = os.umask(0o027)
    try:
        classifier.save(tmp_path)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o640}, modes


def test_names_are_text_in_the_model_card(tmp_path: Path) -> None:
    classes = (
        *("---\ntags: [x]", '<img src="http://x">', "*b* _c_ [d](e)", "apple_pie", "\x1b[2J"),
        *("__e__", "www.f.org"),
    )
    data = TrainingData(
        name="![x](http://y)", train=1, validation=1, unreadable=0, fingerprint="ab"
    )
    built = build_classifier(ImageSpec(16), classes)
    TorchClassifier(built.network, built.spec, classes, ModelInfo(data=data)).save(tmp_path)
    card = (tmp_path / "README.md").read_text()
    _, front_matter, text = card.split("---\n", 2)
    assert yaml.safe_load(front_matter)["pipeline_tag"] == "image-classification"
    assert "\x1b" not in text
    assert "apple_pie" in text
    assert r"www\.f.org" in text  # GitHub makes links of addresses
    html = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(text)
    assert not re.search(r"<img|<a |<em>|<strong>b|---\n", html)


def test_images_are_read_lazily(classifier: TorchClassifier) -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield photo(40, 40)

    answers = classifier.predict_many(endless(), batch_size=4)
    assert isinstance(next(answers), Prediction)
    assert taken <= 12


def test_classes_and_network_must_fit() -> None:
    network = ViT(
        ViTConfig(
            image_size=32,
            patch_size=8,
            num_layers=1,
            hidden_size=12,
            num_heads=3,
            mlp_size=8,
            num_classes=2,
        )
    )
    with pytest.raises(ModelError, match="3 class names for 2 logits"):
        TorchClassifier(network, ImageSpec(32), CLASSES)
    with pytest.raises(ModelError, match="the network takes"):
        TorchClassifier(network, ImageSpec(40), CLASSES[:2])


def edit(folder: Path, name: str, change: Callable[[str], str]) -> None:
    (folder / name).write_text(change((folder / name).read_text()))


def edit_spec(folder: Path, **changes: object) -> None:
    own = json.loads((folder / "config.json").read_text())["foodvision"]
    edit_config(folder, foodvision=own | {"image_spec": own["image_spec"] | changes})


def swap_fifo(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no FIFOs")
    path.unlink()
    os.mkfifo(path)


def replace_weight(folder: Path, value: float) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["vit.layernorm.bias"][3] = value
    save_file(weights, folder / "model.safetensors")


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda f: (f / "config.json").unlink(), "it has no config.json"),
        (lambda f: (f / "model.safetensors").unlink(), "it has no model.safetensors"),
        (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda f: (f / "config.json").write_text("[]"), "not a JSON object"),
        (
            lambda f: (f / "model.safetensors").write_bytes(b"x" * 99),
            "model.safetensors is damaged",
        ),
        (lambda f: edit_config(f, model_type="bert"), "model_type 'bert' is not supported"),
        (lambda f: edit_config(f, hidden_act="relu"), "hidden_act 'relu' is not supported"),
        (lambda f: edit_config(f, num_attention_heads=7), "not a multiple of num_heads"),
        (lambda f: edit_config(f, hidden_size=48), r"has shape \(1, 1, 24\), not \(1, 1, 48\)"),
        (lambda f: edit_config(f, num_hidden_layers=3), r"the weights lack vit\.encoder\.layer\.2"),
        (
            lambda f: edit_config(f, num_hidden_layers=1),
            r"which the network does not have \(ViT of 1",
        ),
        (lambda f: edit_config(f, id2label={}), "id2label"),
        (lambda f: edit_config(f, foodvision={"image_spec": {"size": -1}}), "size must be a whole"),
        (lambda f: edit_config(f, id2label={"0": "a", "1": "b", "2": "a"}), "classes 0 and 2 are"),
        (lambda f: edit_config(f, id2label={"0": "a", "1": 3, "2": "b"}), "class 1 3, not a text"),
        (lambda f: edit_config(f, id2label={"0": "a\ud800", "1": "b", "2": "c"}), "not a text"),
        (lambda f: edit_config(f, id2label=["a", "b", "c"]), "id2label must name the classes"),
        (lambda f: edit_config(f, num_hidden_layers=10**9), "num_layers must be .* 1 to 256"),
        (lambda f: edit_config(f, num_hidden_layers=2.0), "num_layers.*2.0"),
        (lambda f: edit_config(f, num_hidden_layers=True), "num_layers.*True"),
        (lambda f: edit_config(f, hidden_size=3 * 10**9), "hidden_size must be .* 1 to 16,384"),
        (lambda f: edit_config(f, hidden_size="24"), "hidden_size.*'24'"),
        (lambda f: edit_config(f, hidden_size=None), "hidden_size.*None"),
        (lambda f: edit_config(f, patch_size=-8), "patch_size must be .* 1 to 1,024, not -8"),
        (lambda f: edit_config(f, patch_size=[[8], [8]]), "a value is wrong"),
        (lambda f: edit_config(f, num_attention_heads=0), "num_heads must be"),
        (lambda f: edit_config(f, num_channels=1), "num_channels 1 is not supported"),
        (lambda f: edit_config(f, image_size={"a": 1}), "image_size.*a"),
        (lambda f: edit_config(f, image_size=[32, 32, 32]), "image_size.*32, 32, 32"),
        (lambda f: edit_config(f, layer_norm_eps="x"), "layer_norm_eps.*x"),
        (
            lambda f: edit_config(f, hidden_size=15_360, num_hidden_layers=256),
            "has .* weights; at most",
        ),
        (
            lambda f: edit_config(f, hidden_size=3_072, num_hidden_layers=64),
            r"the weights lack vit\.encoder\.layer\.10",
        ),
        (lambda f: edit_config(f, model_type=["vit"]), "model_type .'vit'. is not supported"),
        (lambda f: edit_config(f, model_type="foodvision"), "it lacks 'network'"),
        (lambda f: edit_config(f, model_type="foodvision", network=3), "a value is wrong"),
        (lambda f: edit_spec(f, resize_size=10**7), "resize_size must be .* 1 to 4,096"),
        (lambda f: edit_spec(f, std=[0, 0.5, 0.5]), "std must be a number from 0.001 to 10, not 0"),
        (lambda f: edit_spec(f, mean=[0.5]), "mean must be three numbers"),
        (lambda f: edit_spec(f, mean=None), "mean must be three numbers"),
        (lambda f: edit_spec(f, interpolation={}), "interpolation is bilinear or bicubic"),
        (lambda f: edit_spec(f, size="32"), "size must be .*, not '32'"),
        (lambda f: edit_spec(f, depth=3), "unexpected keyword argument 'depth'"),
        (lambda f: edit_config(f, foodvision=[1]), r"foodvision: Input should be"),
        (lambda f: edit_config(f, foodvision={"image_spec": 3}), "image_spec: a value is wrong"),
        (lambda f: edit_config(f, foodvision={"parameters": "9"}), "foodvision.*valid integer"),
        (
            lambda f: edit(f, "config.json", lambda text: text.replace('"dtype"', '"x": NaN, "y"')),
            r"config\.json cannot be read \(NaN is not a finite number",
        ),
        (
            lambda f: edit(f, "config.json", lambda text: '{"model_type": "vit", ' + text[1:]),
            "key 'model_type' is there twice",
        ),
        (lambda f: edit(f, "config.json", lambda text: "[" * 10**6), "nested too deeply"),
        (
            lambda f: swap_fifo(f / "config.json"),
            r"config\.json cannot be read \(not a regular file",
        ),
        (
            lambda f: swap_fifo(f / "model.safetensors"),
            r"model\.safetensors cannot be read \(not a re",
        ),
        (lambda f: replace_weight(f, float("nan")), "vit.layernorm.bias holds NaN or infinity"),
        (lambda f: replace_weight(f, float("-inf")), "vit.layernorm.bias holds NaN or infinity"),
        (
            lambda f: (f / "model.safetensors").write_bytes(
                (10**9).to_bytes(8, "little") + b"{" + b" " * 99
            ),
            "its header has 1,000,000,000 bytes; at most 10,000,000",
        ),
    ],
)
def test_broken_folders_are_one_clear_line(
    break_it: object, reason: str, tmp_path: Path, classifier: TorchClassifier
) -> None:
    classifier.save(tmp_path)
    break_it(tmp_path)
    with pytest.raises(ModelError, match=reason) as caught:
        TorchClassifier.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_folder_and_unreachable_or_incomplete_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="no such model folder"):
        TorchClassifier.load(tmp_path / "no")
    with pytest.raises(ModelError, match="cannot be downloaded from the Hub"):
        TorchClassifier.load("nobody/nothing")
    (tmp_path / "fetched").mkdir()
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: tmp_path / "fetched")
    with pytest.raises(ModelError, match=r"^a/b: not a model folder: it has no config\.json$"):
        TorchClassifier.load("a/b")


def test_half_precision_weights_are_read_as_float32(
    tmp_path: Path, classifier: TorchClassifier
) -> None:
    classifier.save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({k: v.half() for k, v in weights.items()}, tmp_path / "model.safetensors")
    assert next(TorchClassifier.load(tmp_path).network.parameters()).dtype == torch.float32
