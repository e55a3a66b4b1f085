from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from torch.optim import AdamW

from foodvision.errors import RecipeError
from foodvision.images import ImageSpec
from foodvision.models.config import ViTConfig
from foodvision.models.network import build_network
from foodvision.training.optim import build_optimizers
from foodvision.training.recipe import Recipe
from foodvision.training.settings import load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_that_ship_are_valid_and_say_how_to_run_them(name: str) -> None:
    import foodvision

    text = (Path(foodvision.__file__).parent / "recipes" / f"{name}.toml").read_text()
    wants_weights = not re.search('method = "(scratch|pretrain)"', text)
    needs = {"weights": "w.npz"} if wants_weights else {}
    if re.search("^teacher_weight", text, re.MULTILINE):
        needs["teacher"] = "OWNER/NAME"
        with pytest.raises(RecipeError, match="learns from a teacher: give --set teacher=MODEL"):
            load_recipe(name)
    assert isinstance(load_recipe(name, needs), Recipe)
    if wants_weights:
        del needs["weights"]
        with pytest.raises(RecipeError, match="begins with pretrained weights: give --weights"):
            load_recipe(name, needs)
    assert text.startswith("# ")
    assert "foodvision " in text.split("\n\n")[0]


def test_scratch_is_ti_width_64_px_patch_8() -> None:
    config = load_recipe("scratch").vit_config(3)
    assert (config.hidden_size, config.image_size, config.patch_size) == (192, 64, 8)


def test_scratch_paper_is_table_3s_row_for_imagenet() -> None:
    recipe = load_recipe("scratch_paper")
    config = recipe.vit_config(1000)
    assert config == ViTConfig.named("vit_b16", dropout=0.1)  # after dense layers, not on A
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (300, 4096, 3e-3)
    assert (recipe.schedule, recipe.weight_decay, recipe.clip_norm) == ("cosine", 0.3, 1.0)
    (optimizer,) = build_optimizers(build_network(replace(config, num_layers=1)), recipe)
    assert isinstance(optimizer, AdamW)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    steps = 300 * (1_281_167 // 4096)
    assert recipe.warmup_fraction * steps == pytest.approx(10_000, rel=0.005)


def test_another_width_has_the_heads_of_its_variant_and_an_mlp_of_4_d() -> None:
    config = load_recipe("scratch", {"hidden_size": "96"}).vit_config(3)
    assert (config.hidden_size, config.mlp_size, config.num_heads) == (96, 384, 3)
    with pytest.raises(RecipeError, match="hidden_size 100 is not a multiple of num_heads 3"):
        load_recipe("scratch", {"hidden_size": 100})
    with pytest.raises(RecipeError, match="hidden_size comes with the weights"):
        load_recipe("finetune", {"weights": "w.npz", "hidden_size": 96})


def test_every_setting_is_documented() -> None:
    for name, field in Recipe.model_fields.items():
        assert field.description, name


def test_changes_override_and_text_is_read_as_toml() -> None:
    recipe = load_recipe("scratch", {"epochs": "3", "learning_rate": "1e-4", "optimizer": "sgd"})
    assert (recipe.epochs, recipe.learning_rate, recipe.optimizer) == (3, 1e-4, "sgd")


@pytest.mark.parametrize("text", ["tensorboard,wandb", '["tensorboard", "wandb"]'])
def test_lists_are_read_as_names_with_commas_or_as_toml(text: str) -> None:
    assert load_recipe("scratch", {"trackers": text}).trackers == ("tensorboard", "wandb")
    assert load_recipe("scratch", {"trackers": "[]", "compile": "true"}).trackers == ()
    names = {"classes": '["pizza, cheese", "steak"]'}
    assert load_recipe("scratch", names).classes == ("pizza, cheese", "steak")


def test_network_name_brings_its_patch_size(tmp_path: Path) -> None:
    recipe = load_recipe("scratch", {"network": "vit_b16", "image_size": 224})
    assert (recipe.network, recipe.patch_size) == ("vit_b", 16)
    with pytest.raises(RecipeError, match="vit_b16 and patch_size 32"):
        load_recipe("scratch", {"network": "vit_b16", "patch_size": 32})


def test_image_spec_follows_the_recipe() -> None:
    settings = {"image_size": 128, "crop_fraction": 0.8, "interpolation": "bicubic"}
    recipe = load_recipe("scratch", settings)
    assert recipe.image_spec() == ImageSpec(128, "crop", 160, "bicubic")
    padded = load_recipe("scratch", settings | {"resize_mode": "pad"})
    assert padded.image_spec() == ImageSpec(128, "pad", None, "bicubic")
    plain = load_recipe("scratch", settings | {"normalise": "false", "resize_mode": "squash"})
    zero_to_one = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    assert plain.image_spec() == ImageSpec(128, "squash", None, "bicubic", **zero_to_one)


def test_scratch_course_is_the_courses() -> None:
    recipe = load_recipe("scratch_course")
    assert (recipe.optimizer, recipe.learning_rate, recipe.weight_decay) == ("adam", 3e-3, 0.3)
    assert (recipe.batch_size, recipe.epochs, recipe.schedule) == (32, 10, "constant")
    spec = recipe.image_spec()
    assert (spec.size, spec.resize_mode, spec.mean, spec.std) == (224, "squash", (0,) * 3, (1,) * 3)
    config = recipe.vit_config(3)
    assert (config.num_layers, config.hidden_size, config.patch_size) == (12, 768, 16)


def test_own_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('network = "vit_s16"\nimage_size = 96\nepochs = 1\n')
    assert load_recipe(path).vit_config(2).hidden_size == 384


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"learnign_rate": 1}, "unknown setting 'learnign_rate': did you mean 'learning_rate'"),
        (
            {"devise": "cpu"},
            "unknown setting 'devise': did you mean 'device' \\(an argument of train",
        ),
        ({"device": "cpu"}, "'device' is an argument of train, not a setting"),
        ({"show_groups": "true"}, "'show_groups' is an argument of train"),
        ({"patch_size": 0}, "patch_size = 0: .* at least 1 and at most 1,024"),
        ({"patch_size": -8}, "patch_size = -8: .* at least 1"),
        ({"learning_rate": "inf"}, "learning_rate = 'inf': .* a finite number, above 0"),
        ({"mixup": float("nan")}, "mixup = nan: .* a finite number, at least 0 and at most 100"),
        ({"num_workers": 1_000_000}, "num_workers = 1000000: .* at most 128"),
        ({"epochs": "1e18"}, "epochs = '1e18': .* a whole number, at least 1 and at most 100,000"),
        ({"epochs": "9" * 6000}, "epochs = '999.* at most 100,000"),
        ({"batch_size": 10**12}, "batch_size = 1000000000000: .* at most 65,536"),
        ({"num_layers": 10**9}, "num_layers = 1000000000: .* at most 256"),
        ({"image_size": 10**9}, "image_size = 1000000000: .* at most 2,048"),
        ({"image_size": 2048, "patch_size": 8}, "65,536 patches .* at most 16,384"),
        ({"crop_fraction": 1e-300}, "crop_fraction = 1e-300: .* at least 0.1"),
        ({"classes": "[" * 5000}, "classes = .*nested too deeply"),
        ({"classes": "[pizza"}, "classes = '\\[pizza'"),
        ({"epochs": 0}, "epochs = 0: .* at least 1"),
        ({"epochs": "many"}, "epochs = 'many'"),
        ({"optimizer": "lion"}, "optimizer = 'lion': .*'muon' or 'sgd'"),
        ({"image_size": 65}, "image_size 65 is not a multiple of patch_size 8"),
        (
            {"image_size": 2048, "patch_size": 32, "crop_fraction": 0.4},
            "crop_fraction = 0.4: images of 2,048 px would be cut from 5,120 px, at most 4,096",
        ),
        ({"crop_fraction": 1.25}, "crop_fraction = 1.25: .* at most 1"),
        ({"network": "resnet18"}, "no network 'resnet18'"),
        ({"network": "vit_b15"}, "patch sizes are"),
    ],
)
def test_invalid_settings_are_named(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason) as caught:
        load_recipe("scratch", settings)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *[("lr", "learning_rate"), ("wd", "weight_decay"), ("bs", "batch_size")],
        *[("img_size", "image_size"), ("n_epochs", "epochs"), ("model", "network")],
        *[("warmup", "warmup_fraction"), ("workers", "num_workers"), ("LR", "learning_rate")],
    ],
)
def test_the_usual_short_names_lead_to_the_setting(name: str, meant: str) -> None:
    with pytest.raises(RecipeError, match=f"unknown setting '{name}': did you mean '{meant}'"):
        load_recipe("scratch", {name: 1})


@pytest.mark.parametrize(
    ("recipe", "settings", "reason"),
    [
        ("scratch", {}, "method = 'scratch' takes no weights"),
        ("finetune", {"num_layers": 3}, "num_layers comes with the weights"),
        ("finetune", {"interpolation": "bicubic"}, "interpolation comes with the weights"),
        ("scratch", {"weights": None, "trainable": "head"}, "needs weights to take"),
        ("finetune", {"teacher_temperature": 2}, "learns from a teacher: give --set teacher=MODEL"),
        ("finetune", {"teacher": "m", "teacher_weight": 0}, "teacher_weight = 0: .* above 0"),
        ("probe", {"teacher": "m"}, "teacher does nothing with method 'probe'"),
        ("probe", {"epochs": 3}, "epochs does nothing with method 'probe'"),
        ("probe", {"weights": None}, "begins with pretrained weights"),
        ("probe_course", {"optimizer": "muon"}, "'muon' is for the matrices of a ViT's blocks"),
    ],
)
def test_settings_that_conflict_with_weights_or_a_probe(
    recipe: str, settings: dict[str, object], reason: str
) -> None:
    with pytest.raises(RecipeError, match=reason) as caught:
        load_recipe(recipe, {"weights": "w.npz"} | settings)
    assert "\n" not in str(caught.value)


def test_a_recipe_with_weights_takes_their_network() -> None:
    recipe = load_recipe("finetune", {"weights": "w.npz", "image_size": 96})
    assert (recipe.network, recipe.patch_size, recipe.image_size) == (None, None, 96)
    assert load_recipe(recipe, {"epochs": 2}) == recipe.model_copy(update={"epochs": 2})
    probe = load_recipe("probe", {"weights": "w.npz", "network": "vit_b16"})
    assert probe.network == "vit_b16"  # to be compared with the weights
    assert load_recipe("finetune", {"weights": "2024"}).weights == "2024"  # a folder's name
    assert load_recipe("scratch", {"network": None, "patch_size": None}).network == "vit_ti"


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'nosuch': there are .*scratch"):
        load_recipe("nosuch")
    (tmp_path / "broken.toml").write_text("epochs = ")
    (tmp_path / "nested.toml").write_text(f"classes = {'[' * 5000}")
    os.mkfifo(tmp_path / "fifo.toml")
    for name, reason in {
        "broken": "TOML",
        "nested": "nested too deeply",
        "fifo": "not a regular file",
    }.items():
        with pytest.raises(RecipeError, match=rf"{name}\.toml: cannot be read as .*{reason}"):
            load_recipe(tmp_path / f"{name}.toml")
