"""Captions as transformers itself writes them, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import BlipForConditionalGeneration, BlipProcessor

from foodvision.captioning import BASE, LARGE, repository, self_check
from foodvision.captioning.caption import CaptionSettings
from foodvision.captioning.captioner import Captioner
from foodvision.captioning.repository import Published, find_captioner
from foodvision.errors import FoodvisionError, ImageError, MissingExtraError, ModelError
from foodvision.files.digest import sha256_of_file
from foodvision.images.transforms import open_pixels, prepare
from tests.captioning.blip import as_salesforce
from tests.conftest import CLASSES, draw_pattern

SETTINGS = [
    CaptionSettings(),
    CaptionSettings("a photo of", beams=1, max_length=7),
    CaptionSettings("the", beams=2, max_length=9, captions=3),
    CaptionSettings(repetition_penalty=1.7, beams=1),
]


@pytest.fixture(scope="module")
def captioner(blip: Path) -> Captioner:
    return Captioner.load(blip, backend="cpu/float32")


@pytest.fixture
def copy(blip: Path, tmp_path: Path) -> Path:
    shutil.copytree(blip, tmp_path / "blip")
    return tmp_path / "blip"


@pytest.fixture
def images() -> Iterator[Image.Image]:
    return (draw_pattern(CLASSES[i % 3], i, (50 + 7 * i, 60)) for i in range(5))


@pytest.mark.parametrize("settings", SETTINGS)
def test_captions_are_those_of_transformers(
    settings: CaptionSettings, captioner: Captioner, blip: Path, images: Iterator[Image.Image]
) -> None:
    processor = BlipProcessor.from_pretrained(blip)
    network = BlipForConditionalGeneration.from_pretrained(blip)
    text = settings.prefix or None
    every, written = list(images), set()
    for image, row in zip(every, captioner.caption_many(every, settings, 2), strict=True):
        inputs = processor(image, text, return_tensors="pt")
        prefix = inputs.input_ids.shape[1] - 1 if text else 1
        tokens = network.generate(
            **inputs,
            do_sample=False,
            num_beams=max(settings.beams, settings.captions),
            num_return_sequences=settings.captions,
            max_length=prefix + settings.max_length,
            repetition_penalty=settings.repetition_penalty,
        )
        expected = processor.batch_decode(tokens, skip_special_tokens=True)
        assert list(row.captions) == [text.strip() for text in expected]
        assert row.caption == row.captions[0] == captioner.caption(image, settings).caption
        assert row.caption.startswith(settings.prefix)
        written.add(row.caption)
    assert len(written) > 2  # it depends on the image


def test_images_are_prepared_as_the_processor_does(
    captioner: Captioner, images: Iterator[Image.Image]
) -> None:
    for image in images:
        expected = captioner.processor(image, return_tensors="pt").pixel_values[0]
        got = prepare(open_pixels(image, captioner.spec), captioner.spec)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_settings_change_captions(captioner: Captioner, images: Iterator[Image.Image]) -> None:
    image = next(islice(images, 1, None))
    plain = captioner.caption(image, SETTINGS[0])
    assert captioner.caption(image, replace(SETTINGS[0], repetition_penalty=5.0)) != plain
    several = captioner.caption(image, replace(SETTINGS[0], captions=3)).captions
    assert (len(several), several[0]) == (3, plain.caption)
    words = captioner.caption(image, CaptionSettings(max_length=3)).caption.split()
    assert len(words) <= 3
    with pytest.raises(FoodvisionError, match="this model has room for 44 tokens after the prefix"):
        captioner.caption(image, CaptionSettings("a photo of", max_length=45))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prefix": "x" * 201}, "prefix must be a text of at most 200 characters"),
        ({"beams": 0}, "beams must be a whole number from 1 to 20"),
        ({"max_length": 201}, "max_length must be a whole number from 1 to 200"),
        ({"captions": True}, "captions must be a whole number"),
        ({"repetition_penalty": 0.5}, "repetition_penalty must be a number from 1 to 10"),
    ],
)
def test_settings_have_bounds(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CaptionSettings(**wrong)


def test_bad_images_are_rows(captioner: Captioner, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("I am a text.")
    draw_pattern("dots", 0).save(tmp_path / "good.png")
    bad, good = map(str, (tmp_path / "bad.jpg", tmp_path / "good.png"))
    rows = list(captioner.caption_many([bad, good, bad]))
    assert [row.path for row in rows] == [bad, good, bad]
    assert [row.caption is None for row in rows] == [True, False, True]
    assert rows[0].error.startswith("not an image that can be read")
    with pytest.raises(ImageError, match="not an image"):
        captioner.caption(bad)


def test_bf16_is_remembered_as_the_backend(blip: Path) -> None:
    captioner = Captioner.load(blip, backend="cpu/bf16")
    assert captioner.backend == "cpu/bf16"
    assert next(captioner.network.parameters()).dtype == torch.bfloat16
    written = captioner.caption(draw_pattern("dots", 0), SETTINGS[1]).caption
    assert written.startswith("a photo of")


def test_weights_and_settings_come_from_safetensors_and_the_caller_alone(copy: Path) -> None:
    captioner = Captioner.load(copy, "cpu")
    expected = captioner.caption(draw_pattern("dots", 0))
    (copy / "generation_config.json").write_text('{"max_length": 3, "num_beams": 7}')
    torch.save({}, copy / "pytorch_model.bin")
    assert Captioner.load(copy, "cpu").caption(draw_pattern("dots", 0)) == expected


def test_the_published_pickle_is_read_and_no_other(
    copy: Path, captioner: Captioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_salesforce(copy)
    pickle = copy / "pytorch_model.bin"
    with pytest.raises(ModelError, match=r"is a pickle, which can run code, .* convert it where"):
        Captioner.load(copy)
    known = Published("0" * 40, pickle.name, pickle.stat().st_size)
    monkeypatch.setitem(repository.PUBLISHED, BASE, known)
    with pytest.raises(ModelError, match="not the one that Salesforce published"):
        Captioner.load(copy)
    monkeypatch.setattr(repository, "BASE_SHA256", sha256_of_file(pickle))
    image = draw_pattern("waves", 2)
    got = Captioner.load(copy, backend="cpu/float32").caption(image, SETTINGS[2])
    assert got == captioner.caption(image, SETTINGS[2])


def test_what_is_wrong_with_a_folder_is_one_line(copy: Path) -> None:
    for change, message in {
        "config": r"config.json: model_type 'vit' is not a BLIP captioner",
        "tensor": r"model.safetensors lacks 1: text_decoder.bert.embeddings.LayerNorm.bias …",
        "shape": "cannot be loaded",
        "tokenizer": "cannot be loaded",
        "truncated": "model.safetensors is damaged",
        "no weights": "it has no model.safetensors",
        "no config": "it has no config.json",
    }.items():
        folder = copy.with_name(change)
        shutil.copytree(copy, folder)
        damage(folder, change)
        with pytest.raises(ModelError, match=rf"^{folder}: .*{message}") as caught:
            Captioner.load(folder)
        assert "\n" not in str(caught.value)


def damage(folder: Path, change: str) -> None:
    from safetensors.torch import load_file, save_file

    weights, config = folder / "model.safetensors", folder / "config.json"
    if change == "config":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "vit"}))
    elif change == "tokenizer":
        (folder / "tokenizer.json").write_text("{")
    elif change == "truncated":
        weights.write_bytes(weights.read_bytes()[:-9])
    elif change.startswith("no "):
        (config if change == "no config" else weights).unlink()
    else:
        tensors = load_file(weights)
        bias = tensors.pop("text_decoder.bert.embeddings.LayerNorm.bias")
        if change == "shape":
            tensors["text_decoder.bert.embeddings.LayerNorm.bias"] = bias[:-1].clone()
        save_file(tensors, weights)


def test_published_models_are_pinned_to_a_commit(
    blip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(model: str, allow_patterns: list[str], revision: str) -> str:
        asked.append((model, revision))
        assert not any(name.endswith((".py", "*")) for name in allow_patterns)
        return str(blip)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    for model in (BASE, LARGE, "someone/else"):
        assert find_captioner(model).folder == blip
    (_, base), (_, large), other = asked
    assert re.fullmatch("[0-9a-f]{40}", base)
    assert re.fullmatch("[0-9a-f]{40}", large)
    assert other == ("someone/else", "main")


@pytest.mark.parametrize(("model", "weights"), [(BASE, "pytorch_model"), (LARGE, "model.safeten")])
def test_without_a_network_it_says_how_to_get_the_model(model: str, weights: str) -> None:
    revision = repository.PUBLISHED[model].revision
    reason = (
        rf"^{model}: no such folder, and it cannot be downloaded from the Hub \(.*\); where there "
        rf"is a network, download config.json, {weights}.* and, if they are there, .*"
        rf"tokenizer.json.* from https://huggingface.co/{model}/tree/{revision} into a folder"
    )
    with pytest.raises(ModelError, match=reason):
        find_captioner(model)


def test_a_missing_library_is_one_line(blip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'foodvision\[caption\]'"):
        Captioner.load(blip)


def test_self_check_compares_with_the_model_card(
    captioner: Captioner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = draw_pattern("dots", 0)
    checks = self_check.self_check(captioner, image)
    assert [check.passed for check in checks] == [False, False]
    with pytest.raises(FoodvisionError, match="2 of 2 captions differ"):
        self_check.write_checks(checks)
    assert (
        "the model card has 'a woman sitting on the beach with her dog'" in capsys.readouterr()[0]
    )
    known = {check.prefix: check.caption for check in checks}
    monkeypatch.setattr(self_check, "CAPTIONS", known)
    self_check.write_checks(self_check.self_check(captioner, image), as_json=True)
    rows = json.loads(capsys.readouterr()[0])
    assert [(row["prefix"], row["passed"]) for row in rows] == [(p, True) for p in known]
    with pytest.raises(FoodvisionError, match=r"download this image .* --self-check demo\.jpg"):
        self_check.self_check(captioner, "http://127.0.0.1:9/demo.jpg")
