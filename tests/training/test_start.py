"""Training from pretrained weights: what is kept, what is new, what is trained."""

from __future__ import annotations

import copy
import logging
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from foodvision import cli
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import FoodvisionError, ModelError, RecipeError
from foodvision.evaluation import evaluate
from foodvision.images import ImageSpec
from foodvision.models.config import ViTConfig
from foodvision.models.library import LibraryNetwork
from foodvision.models.library_config import LibraryConfig
from foodvision.models.vit import ViT
from foodvision.training.run import train
from foodvision.training.settings import load_recipe
from foodvision.training.start import starting_point
from tests.conftest import CLASSES, build_classifier
from tests.training.test_resume import sha256
from tests.training.test_run import FAST

SHORT = {"epochs": 2, "batch_size": 16, "precision": "float32"}


@pytest.fixture
def weights(tmp_path: Path) -> str:
    spec = ImageSpec(32, "crop", 40, "bicubic", (0.4,) * 3, (0.2,) * 3)
    build_classifier(spec, ("a", "b", "c", "d")).save(tmp_path / "weights")
    return str(tmp_path / "weights")


def test_weights_bring_their_spec_and_layers_and_get_a_new_head(weights: str) -> None:
    begun = TorchClassifier.load(weights, "cpu")
    settings = {"weights": weights, "stochastic_depth": 0.3, "reduced_decode": True}
    network, spec, *_ = starting_point(load_recipe("finetune", settings), CLASSES)
    assert spec == ImageSpec(32, "crop", 40, "bicubic", (0.4,) * 3, (0.2,) * 3, reduced_decode=True)
    assert network.config.stochastic_depth == 0.3
    assert not network.head.weight.any()
    assert network.head.out_features == 3
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(network.eval().features(x), begun.network.features(x))
    assert all(weight.requires_grad for weight in network.parameters())


def test_another_resolution_changes_the_spec_too(weights: str) -> None:
    settings = {"weights": weights, "image_size": 64}
    network, spec, *_ = starting_point(load_recipe("finetune", settings), CLASSES)
    assert (spec.size, spec.resize_size) == (64, 80)
    assert network.config.grid == (8, 8)
    with pytest.raises(ModelError, match="image_size 65 is not a multiple of patch_size 8"):
        starting_point(load_recipe("finetune", settings | {"image_size": 65}), CLASSES)


@pytest.mark.parametrize("recipe", ["finetune", "probe"])
def test_larger_patches_of_an_enlarged_image_give_the_same_features(
    recipe: str, weights: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = {"weights": weights, "image_size": 48, "patch_size": 12}
    network, spec, *_ = starting_point(load_recipe(recipe, settings), CLASSES)
    assert "resized from 8 px to 12 px" in caplog.text
    begun = TorchClassifier.load(weights, "cpu").network
    assert (spec.size, network.config.grid) == (48, begun.config.grid)
    x = torch.randn(2, 3, 32, 32)
    patches = F.unfold(x, 8, stride=8).mT.reshape(-1, 3, 8, 8)
    patches = F.interpolate(patches, (12, 12), mode="bicubic", antialias=True)
    enlarged = F.fold(patches.reshape(2, 16, -1).mT, (48, 48), 12, stride=12)
    torch.testing.assert_close(network.features(enlarged), begun.features(x), rtol=0, atol=1e-4)
    with pytest.raises(ModelError, match="image_size 32 is not a multiple of patch_size 12"):
        starting_point(load_recipe(recipe, settings | {"image_size": None}), CLASSES)


@pytest.mark.parametrize("recipe", ["finetune", "finetune_paper"])
def test_fine_tuning_trains_every_layer_and_resumes(
    recipe: str, weights: str, patterns: Path, tmp_path: Path
) -> None:
    settings = SHORT | {"weights": weights, "image_size": 40}
    result = train(patterns, recipe, tmp_path / "a", "cpu", **settings)
    network, begun = result.classifier.network, TorchClassifier.load(weights, "cpu").network
    assert result.classifier.spec.size == 40
    for name, tensor in begun.state_dict().items():
        if "head" not in name and "E_pos" not in name:
            assert not torch.equal(tensor, network.state_dict()[name]), name
    assert evaluate(result.classifier, patterns, "validation").log_loss == pytest.approx(
        result.metrics.log_loss, abs=1e-9
    )
    whole = sha256(tmp_path / "a")
    max((tmp_path / "a" / "checkpoints").iterdir()).unlink()  # return to the end of epoch 1
    train(patterns, out=tmp_path / "a", device="cpu", resume=True)
    assert sha256(tmp_path / "a") == whole
    with pytest.raises(FoodvisionError, match="image_size is 40 in the run"):
        train(patterns, out=tmp_path / "a", device="cpu", resume=True, image_size=48)


def test_probe_course_trains_only_the_head(weights: str, patterns: Path, tmp_path: Path) -> None:
    settings = {"weights": weights, "epochs": 3, "batch_size": 16}
    result = train(patterns, "probe_course", tmp_path / "a", "cpu", **settings)
    network, begun = result.classifier.network, TorchClassifier.load(weights, "cpu").network
    for name, tensor in begun.state_dict().items():
        if "head" not in name:
            assert torch.equal(tensor, network.state_dict()[name]), name
    assert network.head.weight.any()
    assert result.history[-1].train_loss < result.history[0].train_loss


def test_a_run_can_start_from_another_run(patterns: Path, tmp_path: Path) -> None:
    train(patterns, out=tmp_path / "a", device="cpu", **(FAST | {"epochs": 1}))
    settings = SHORT | {"weights": str(tmp_path / "a"), "exclude_classes": ("dots",)}
    result = train(patterns, "finetune", tmp_path / "b", "cpu", **settings)
    assert result.classifier.classes == ("stripes", "waves")


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("mobilenet")
    torch.manual_seed(0)
    network = LibraryNetwork(LibraryConfig("mobilenet_v3_small", 48, 2))
    TorchClassifier(network, ImageSpec(48), ("a", "b")).save(folder)
    return str(folder)


@pytest.mark.parametrize("recipe", ["probe", "probe_course", "finetune", "finetune_paper"])
def test_torchvision_networks_are_fine_tuned(
    recipe: str, mobilenet: str, patterns: Path, tmp_path: Path
) -> None:
    settings = {"weights": mobilenet, "precision": "float32", "batch_size": 16}
    settings |= {} if recipe == "probe" else {"epochs": 1}
    settings |= {"image_size": 48} if recipe == "finetune_paper" else {}
    result = train(patterns, recipe, tmp_path / "r", "cpu", **settings)
    assert evaluate(TorchClassifier.load(tmp_path / "r"), patterns, "validation").log_loss == (
        pytest.approx(result.metrics.log_loss, abs=1e-5)
    )
    begun = TorchClassifier.load(mobilenet, "cpu").network.state_dict()
    changed = {
        name.split(".")[0]
        for name, tensor in result.classifier.network.state_dict().items()
        if name not in begun or not torch.equal(tensor, begun[name])
    }
    assert changed == ({"head"} if "probe" in recipe else {"body", "head"})
    for name, tensor in result.classifier.network.state_dict().items():
        if "running" in name:  # statistics of the pretraining images
            assert torch.equal(tensor, begun[name]), name


def test_a_named_network_must_match_the_weights(tmp_path: Path, mobilenet: str) -> None:
    network = ViT(ViTConfig.named("vit_ti8", image_size=16, num_classes=2))
    TorchClassifier(network, ImageSpec(16), ("a", "b")).save(tmp_path / "ti")
    sources = {str(tmp_path / "ti"): ("vit_ti", "vit_ti8"), mobilenet: ("mobilenet_v3_small",)}
    for weights, names in sources.items():
        for name in ("vit_ti", "vit_ti8", "vit_ti16", "vit_s8", "mobilenet_v3_small", "nonsense"):
            recipe = load_recipe("finetune", {"weights": weights, "network": name})
            if name in names:
                starting_point(recipe, CLASSES)
            else:
                with pytest.raises(RecipeError, match=f"network {name} is not the network of"):
                    starting_point(recipe, CLASSES)


def test_with_weights_and_no_recipe_all_layers_are_fine_tuned(
    weights: str, patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = train(patterns, device="cpu", weights=weights, **(SHORT | {"epochs": 1}))
    assert result.folder == Path(f"runs/{patterns.name}-finetune")
    assert result.classifier.info.recipe["layer_decay"] == 0.75


def test_settings_that_only_a_vit_has_are_refused_for_other_networks(
    mobilenet: str, patterns: Path, tmp_path: Path
) -> None:
    for name, value in (("stochastic_depth", 0.1), ("optimizer", "muon")):
        with pytest.raises(RecipeError, match=f"{name} = '?{value}'?"):
            train(patterns, "finetune", tmp_path / name, "cpu", weights=mobilenet, **{name: value})
        assert not (tmp_path / name).exists()
    with pytest.raises(
        ModelError, match="patch_size is for a ViT, not for torchvision's mobilenet"
    ):
        train(patterns, "finetune", tmp_path / "a", "cpu", weights=mobilenet, patch_size=16)


def test_on_the_command_line(
    weights: str,
    patterns: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["train", str(patterns), "--recipe", "finetune", "--weights", weights, "--show-groups"]
    words += ["--set", "epochs=1", "--out", str(tmp_path / "r"), "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["foodvision", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    shown = capsys.readouterr()
    assert "0.4219" in shown.err  # 0.75³: the embedding, before two blocks and a norm
    assert f"Next: foodvision evaluate {tmp_path / 'r'} {patterns}" in shown.out


def test_weights_with_the_same_classes_keep_their_head(
    patterns: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A probe, then fine-tuning from its result (LP-FT, arXiv 2202.10054)."""
    begun = build_classifier()
    begun.save(tmp_path / "w")
    recipe = load_recipe("finetune", {"weights": str(tmp_path / "w")})
    with caplog.at_level(logging.INFO):
        assert torch.equal(
            starting_point(recipe, CLASSES).network.head.weight, begun.network.head.weight
        )
    assert "has these classes already, so its head is kept" in caplog.text
    assert not starting_point(recipe, CLASSES[::-1]).network.head.weight.any()
    balanced = load_recipe(recipe, {"class_weights": "balanced"})
    assert not starting_point(balanced, CLASSES).network.head.weight.any()
    # transformers' ViTModel has no head, but may still have class names
    weights = load_file(tmp_path / "w" / "model.safetensors")
    body = {name: tensor for name, tensor in weights.items() if not name.startswith("classifier")}
    save_file(body, tmp_path / "w" / "model.safetensors")
    assert not starting_point(recipe, CLASSES).network.head.weight.any()


def test_reduced_decode_comes_from_the_weights_unless_set(tmp_path: Path) -> None:
    build_classifier(ImageSpec(32, reduced_decode=True)).save(tmp_path / "w")
    settings = {"weights": str(tmp_path / "w")}
    assert starting_point(load_recipe("finetune", settings), CLASSES).spec.reduced_decode
    settings["reduced_decode"] = False
    assert not starting_point(load_recipe("finetune", settings), CLASSES).spec.reduced_decode


def test_resume_refuses_changed_weights(weights: str, patterns: Path, tmp_path: Path) -> None:
    train(patterns, "finetune", tmp_path / "r", "cpu", weights=weights, **SHORT)
    train(patterns, out=tmp_path / "r", device="cpu", resume=True, epochs=2)
    moved = Path(weights).rename(tmp_path / "moved")
    train(patterns, out=tmp_path / "r", device="cpu", resume=True, weights=str(moved))
    moved.rename(weights)
    begun = TorchClassifier.load(weights, "cpu")
    for name in ("head.bias", "blocks.0.mlp.0.weight"):
        changed = copy.deepcopy(begun)
        changed.network.get_parameter(name).data.view(-1)[0] += 1
        changed.save(weights)
        with pytest.raises(FoodvisionError, match="the weights have changed since this run began"):
            train(patterns, out=tmp_path / "r", device="cpu", resume=True)
    TorchClassifier(begun.network, ImageSpec(32, "squash"), begun.classes).save(weights)
    with pytest.raises(FoodvisionError, match="the weights have changed since this run began"):
        train(patterns, out=tmp_path / "r", device="cpu", resume=True)
    (tmp_path / "r" / "recipe.json").write_text("{}")
    with pytest.raises(FoodvisionError, match=r"recipe\.json: is damaged \('data'\)"):
        train(patterns, out=tmp_path / "r", device="cpu", resume=True)


def test_missing_weights_leave_no_folder_behind(patterns: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"weights nowhere\.npz: no such file or folder"):
        train(patterns, "finetune", tmp_path / "r", "cpu", weights="nowhere.npz")
    assert not (tmp_path / "r").exists()
