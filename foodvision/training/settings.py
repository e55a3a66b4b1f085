"""From a recipe's name and single changes to a checked `Recipe`, with errors that name the fix.

Recipes that ship are the TOML files in `foodvision/recipes`. ``--set key=value`` is checked here
and acts where training reads the `Recipe`: augmentation in `batches`, for example.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from foodvision.errors import RecipeError
from foodvision.files.read import read_toml
from foodvision.models.config import parse_name
from foodvision.training.recipe import Recipe

CHANGEABLE = ("num_workers", "sharded", "trackers")
"""Settings that do not change the result: a resumed run may have others."""

ALIASES = {
    **dict.fromkeys(("arch", "backbone", "model"), "network"),
    **dict.fromkeys(("depth", "layers"), "num_layers"),
    **dict.fromkeys(("resolution", "size"), "image_size"),
    **dict.fromkeys(("opt", "momentum"), "optimizer"),
    **{"amp": "precision", "dtype": "precision", "drop_path": "stochastic_depth"},
    **{"early_stopping": "patience", "val_split": "validation_fraction"},
}
"""What other libraries call a setting, where neither initials nor spelling lead to it."""

ARGUMENTS = ("data", "recipe", "out", "device", "resume", "show_groups")
"""What `train` takes beside the settings."""


def load_recipe(
    recipe: str | Path | Recipe = "scratch", settings: Mapping[str, Any] | None = None
) -> Recipe:
    """Read a recipe and change single settings.

    Args:
        recipe: the name of one that ships, the path of a TOML file, or a `Recipe`.
        settings: changes on top of it, as values or as the text of ``--set``.

    Raises:
        RecipeError: naming the setting and what it may be.

    """
    values = recipe.model_dump() if isinstance(recipe, Recipe) else _read_toml(recipe)
    changes = dict(settings or {})
    for key in (*values, *changes):
        _check_name(key)
    if (values | changes).get("weights"):
        values |= changes  # a network is compared with the weights', not built
    else:
        values = _expand_network(values) | _expand_network(changes)
    try:
        checked = Recipe(**values)
        if not checked.weights:
            checked.vit_config(num_classes=2)
            checked.image_spec()
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # about several values
            raise RecipeError(str(first["ctx"]["error"])) from error
        name = str(first["loc"][0])
        expected = _range_of(Recipe.model_fields[name]) or first["msg"]
        raise RecipeError(f"{name} = {first['input']!r:.60}: {expected}") from error
    except ValueError as error:
        raise RecipeError(str(error)) from error
    return checked


def resumed_recipe(
    begun: Recipe, recipe: str | Path | None, settings: Mapping[str, Any], finished: bool
) -> Recipe:
    """The settings with which a run resumes, or is extended to more epochs.

    Args:
        begun: those it began with.
        recipe: see `load_recipe`; None for the run's.
        settings: see `load_recipe`. A finished run may be given more ``epochs``.
        finished: whether the run has taken its last step.

    Raises:
        RecipeError: if a setting that changes the result is not the run's.

    """
    if begun.method == "probe" and "epochs" in settings:
        raise RecipeError(
            "a probe has no epochs to add: its head is fitted until it converges; to train all "
            "layers from there, start a new run with --recipe finetune and the run as --weights"
        )
    named = {"weights": begun.weights, "teacher": begun.teacher}
    known = {name: value for name, value in named.items() if value}
    asked = load_recipe(recipe or begun, known | dict(settings))
    more = finished and "epochs" in settings and asked.epochs > begun.epochs
    # Weights may have moved: `RunFolder.check_start` compares their content.
    changed = (*CHANGEABLE, "weights", *(["epochs"] if more else []))
    for name, before in begun:
        now = getattr(asked, name)
        if now != before and name not in changed and (name, now) != ("precision", "auto"):
            advice = "leave it out, or start a new run with another --out"
            if name == "epochs" and not finished:
                advice = (
                    "the learning rate depends on it; resume without it, and extend the finished "
                    f"run with --resume --set epochs={now}"
                )
            elif name == "epochs" and now > before:
                advice = f"to extend the finished run, add --set epochs={now}; or {advice}"
            elif name == "epochs":
                advice = f"a finished run is extended by more than {before}; or {advice}"
            raise RecipeError(f"{name} is {before!r} in the run to resume, not {now!r}: {advice}")
    return begun.model_copy(update={name: getattr(asked, name) for name in changed})


def recipe_names() -> list[str]:
    """The recipes that ship."""
    folder = files("foodvision") / "recipes"
    return sorted(
        path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml")
    )


def _read_toml(recipe: str | Path) -> dict[str, Any]:
    name = str(recipe)
    path = files("foodvision") / "recipes" / f"{name}.toml" if name in recipe_names() else recipe
    try:
        return read_toml(Path(str(path)))
    except FileNotFoundError as error:
        raise RecipeError(
            f"no recipe {name!r}: there are {', '.join(recipe_names())}, or give a TOML file"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecipeError(f"{name}: cannot be read as TOML ({reason})") from error


def _range_of(field: FieldInfo) -> str | None:
    """What a numeric setting may be; None for any other setting."""
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    bounds = {
        name: getattr(bound, name)
        for name in words
        for bound in field.metadata
        if hasattr(bound, name)
    }
    if not bounds:
        return None
    kind = "a whole number" if "int" in str(field.annotation) else "a finite number"
    limits = [f"{words[name]} {limit:,}" for name, limit in bounds.items()]
    return f"it must be {kind}, {' and '.join(limits)}"


def _check_name(key: str) -> None:
    if key in ARGUMENTS:
        raise RecipeError(f"{key!r} is an argument of train, not a setting: give it without --set")
    if key not in Recipe.model_fields:
        close = _closest(key.lower())
        argument = " (an argument of train, not a setting)" if close in ARGUMENTS else ""
        raise RecipeError(f"unknown setting {key!r}: did you mean {close!r}{argument}?")


def _closest(key: str) -> str:
    """The setting or argument that was probably meant: lr and wd are initials."""
    known = [*Recipe.model_fields, *ARGUMENTS]
    initials = {"".join(word[0] for word in name.split("_")): name for name in known if "_" in name}
    found = ALIASES.get(key) or initials.get(key)
    return found or difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]


def _expand_network(values: dict[str, Any]) -> dict[str, Any]:
    """Take the patch size out of a network's name: `vit_b16` is vit_b with patch_size 16."""
    if not isinstance(values.get("network"), str):
        return values
    try:
        variant, patch_size = parse_name(values["network"])
    except ValueError as error:
        raise RecipeError(str(error)) from error
    if patch_size is None:
        return values
    if str(values.get("patch_size", patch_size)) != str(patch_size):
        raise RecipeError(f"network {values['network']} and patch_size {values['patch_size']}")
    return values | {"network": f"vit_{variant}", "patch_size": patch_size}
