"""The licence of a model's weights, through the runs that began with one another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foodvision.classifier.info import Export
from foodvision.classifier.licence import Licence, licence_behind, licence_of, without_folders
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import ModelError
from foodvision.export.export import _write_config
from foodvision.weights.box import NETWORK


def model(folder: Path, weights: str | None, **known: object) -> Path:
    """A model folder as training from these weights writes it."""
    folder.mkdir()
    if weights is not None:
        licence = licence_behind(weights)
        known["origin"] = licence.origin and licence.origin.model_dump()
        known["origins_of_teachers"] = [each.model_dump() for each in licence.origins_of_teachers]
    (folder / "config.json").write_text(json.dumps({"foodvision": known}))
    return folder


@pytest.mark.parametrize(
    ("weights", "identifier", "forbids"),
    [
        (None, None, False),
        ("torchvision:vit_b_16/IMAGENET1K_V1", None, False),
        ("torchvision:vit_b_16/IMAGENET1K_SWAG_LINEAR_V1", "cc-by-nc-4.0", True),
        ("/home/me/vit_b_16_swag-9ac1b537.pth", "cc-by-nc-4.0", True),
    ],
)
def test_weights(tmp_path: Path, weights: str | None, identifier: str, forbids: bool) -> None:
    probe = model(tmp_path / "probe", weights)
    tuned = model(tmp_path / "tuned", str(probe))
    (tmp_path / "probe").rename(tmp_path / "moved")  # what it was must not be forgotten
    for folder in (tmp_path / "moved", tuned):
        licence = licence_of(folder)
        assert licence.identifier == identifier
        assert licence.forbids_commerce == forbids
        assert "/home" not in licence.sentence


def test_weights_of_others_name_their_own(tmp_path: Path) -> None:
    timm = tmp_path / "lite0"
    timm.mkdir()
    config = {"architecture": "lite0", "pretrained_cfg": {"license": "apache-2.0"}}
    (timm / "config.json").write_text(json.dumps(config))
    assert licence_of(timm) == Licence("lite0", "apache-2.0")
    assert licence_of(model(tmp_path / "run", str(timm))).identifier == "apache-2.0"


def test_what_teachers_learnt_from_counts_through_all_runs(tmp_path: Path) -> None:
    origins = [{"weights": "swagged", "licence": "CC-BY-NC 4.0 (SWAG)"}]
    teacher = {"name": "t", "network": "ViT", "sha256": "0", "origins": origins}
    taught = model(tmp_path / "taught", None, teacher=teacher)
    tuned = model(tmp_path / "tuned", str(taught))
    for folder in (taught, tuned):
        licence = licence_of(folder)
        assert licence.forbids_commerce
        assert licence.identifier == "cc-by-nc-4.0"
        assert "A teacher of it learnt from the weights swagged; their licence" in licence.sentence
    mild = teacher | {"origins": [{"weights": "lite0", "licence": "apache-2.0"}]}
    licence = licence_of(model(tmp_path / "mild", None, teacher=mild))
    assert (licence.identifier, licence.forbids_commerce) == (None, False)
    assert licence.sentence.endswith("weights lite0; their licence is apache-2.0.")


def test_what_a_models_own_card_states_counts(tmp_path: Path) -> None:
    start = model(tmp_path / "start", "no-longer-here")
    (start / "README.md").write_text("---\nlicense: mit\n---\n")
    tuned = model(tmp_path / "tuned", str(start))
    assert licence_of(start) == licence_of(tuned) == Licence("start", "mit")


def test_a_foreign_model_keeps_its_licence_when_it_is_saved_or_exported(
    tmp_path: Path, classifier: TorchClassifier
) -> None:
    foreign = tmp_path / "foreign"
    classifier.save(foreign)
    config = json.loads((foreign / "config.json").read_text())
    del config["foodvision"]
    (foreign / "config.json").write_text(json.dumps(config))
    (foreign / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    loaded = TorchClassifier.load(foreign, "cpu")
    loaded.save(tmp_path / "saved")
    exported = Export(runs=("onnx/float32",), limits={}, checks={})
    (tmp_path / "exported").mkdir()
    _write_config(loaded, exported, tmp_path / "exported")
    for name in ("foreign", "saved", "exported"):
        assert licence_of(tmp_path / name) == Licence("foreign", "cc-by-nc-4.0")


def test_what_was_not_recorded_is_judged_by_the_name_of_the_weights(tmp_path: Path) -> None:
    swag = {"weights": "torchvision:vit_b_16/IMAGENET1K_SWAG_E2E_V1"}
    assert licence_of(model(tmp_path / "probe", None, recipe=swag)).forbids_commerce


def test_the_name_box_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = model(tmp_path / "box", None)
    (mine / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    assert licence_of(Path("./box")) == Licence("box", "cc-by-nc-4.0")
    assert licence_of(NETWORK) == licence_behind("box")
    assert licence_behind("box")[:2] == ("box", "mit")


def test_no_licence_in_between_lifts_what_another_forbids(tmp_path: Path) -> None:
    swag = "torchvision:vit_b_16/IMAGENET1K_SWAG_E2E_V1"
    start = model(tmp_path / "start", swag)
    (start / "README.md").write_text("---\nlicense: mit\n---\n")
    assert licence_of(model(tmp_path / "tuned", str(start))).forbids_commerce
    timm = tmp_path / "lite0"
    timm.mkdir()
    config = {"architecture": "lite0", "pretrained_cfg": {"license": "apache-2.0"}}
    (timm / "config.json").write_text(json.dumps(config))
    strict = model(tmp_path / "strict", str(timm))
    (strict / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    assert licence_of(model(tmp_path / "more", str(strict))) == Licence("strict", "cc-by-nc-4.0")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("timm:vit_tiny.augreg/x", "timm:vit_tiny.augreg/x"),
        ("owner/name", "owner/name"),
        ("/home/me/runs/probe", "probe"),
        ("../probe", "probe"),
        ("clients/acme/probe", "probe"),
        ("clients/probe", "probe"),  # a folder here
        ("/snapshots/probe", "probe"),
        ("snapshots/name", "snapshots/name"),
        ("/cache/models--owner--name/snapshots/0f1e2d", "owner/name"),
    ],
)
def test_no_folder_is_named(
    source: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clients/probe").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert without_folders(source) == name


def test_names_outside_the_hubs_list() -> None:
    assert Licence("x", "My own licence").identifier == "other"
    assert Licence("x", "CC-BY-NC-SA-4.0").forbids_commerce
    assert not Licence("x", "openly licensed").forbids_commerce


@pytest.mark.parametrize("damaged", [4, ["a"], {"recipe": "x"}, {"teacher": "y"}])
def test_a_damaged_description_is_one_clear_error(tmp_path: Path, damaged: object) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"foodvision": damaged}))
    with pytest.raises(ModelError, match=r"config\.json: foodvision"):
        licence_of(tmp_path)


def test_a_name_too_long_for_a_file_has_no_licence(tmp_path: Path) -> None:
    assert licence_of(model(tmp_path / "run", "a" * 300)) == Licence("a" * 300, None)
