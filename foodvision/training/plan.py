"""From what the user asked for to the plan of a run: everything that can be checked without torch.

torch takes seconds to load; a mistyped path, setting or folder is reported before that.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from foodvision.data import Dataset, load_dataset
from foodvision.errors import DataError, MissingExtraError, ModelError, RecipeError
from foodvision.text import is_hub_id
from foodvision.training.extension import extension_of
from foodvision.training.recipe import Recipe
from foodvision.training.run_folder import RunFolder, find_run
from foodvision.training.settings import load_recipe, resumed_recipe
from foodvision.weights.box import BOX, check_not_named_box, path_of

PUBLISHED = ("torchvision:", "timm:", "hub:")
"""How the names of weights begin that are no path."""

PRETRAIN = "pretrain"
"""The method, and the recipe, that needs no labels."""

ADVICE = (
    "training from scratch; pretrained weights usually give a better model in less time: "
    "--recipe probe --weights torchvision:efficientnet_b0/IMAGENET1K_V1 (21 MB, downloaded once; "
    "without a network, give a file or folder of weights)"
)

FROM_BOX = ("probe", "finetune")
"""Recipes that start from the model in the box if no weights are given."""

BOX_ADVICE = (
    "no --weights: starting from box, the small ViT that ships with foodvision; larger networks "
    "usually give a better model: --weights torchvision:efficientnet_b0/IMAGENET1K_V1 (21 MB, "
    "downloaded once)"
)


@dataclass(frozen=True)
class Plan:
    """A run that has been asked for.

    Attributes:
        dataset: with the classes to learn.
        recipe: every setting.
        folder: of the run; free if the run is a new one.
        resume: whether the run in the folder is continued.
        extends: the finished run of fewer epochs that a new run continues from.
        device: see `train`.
        show_groups: see `train`.
        resume_command: "resume with: …", for an interrupted user.
        advice: for who has not chosen the weights to begin with.

    """

    dataset: Dataset
    recipe: Recipe
    folder: RunFolder
    resume: bool
    extends: RunFolder | None
    device: str
    show_groups: bool
    resume_command: str
    advice: str | None


class Follower(NamedTuple):
    """What a rank other than the first plans: rank 0 tells it the rest, see `told`."""

    data: str | Path | Dataset
    device: str


def plan_run(
    settings: Mapping[str, Any],
    data: str | Path | Dataset,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    show_groups: bool = False,
) -> Plan:
    """Check the arguments of `foodvision.training.run.train`, with settings under any name.

    Raises:
        FoodvisionError: with one line that says what is wrong and what to do.

    """
    usual = recipe or ("finetune" if settings.get("weights") else "scratch")
    from_box = not resume and usual in FROM_BOX and settings.get("weights") is None
    from_box &= not any(settings.get(name) for name in ("network", "num_layers", "hidden_size"))
    if from_box:
        settings = {**settings, "weights": BOX}
    chosen = load_recipe(usual, settings) if not resume else None  # before data is downloaded
    if chosen:
        _check_weights(chosen)
        check_trackers(chosen)
    method = chosen.method if chosen else _method_of(data, recipe, out, settings)
    dataset = data
    if not isinstance(dataset, Dataset):
        dataset = load_dataset(dataset, labelled=method != PRETRAIN, test=False)
    folder, extends = RunFolder(Path(out or f"runs/{dataset.name}-{Path(usual).stem}")), None
    if chosen is None:
        if not out and not recipe and not settings.get("weights"):
            folder = find_run(folder, dataset.name)
        begun = folder.recipe()
        chosen = resumed_recipe(begun, recipe, settings, folder.finished())
        _check_weights(chosen)
        check_trackers(chosen)
        if chosen.epochs > begun.epochs:
            folder, extends = extension_of(folder, chosen.epochs), folder
    check_not_named_box(folder.path)
    if extends or not resume:
        folder.check_free()  # before anything is written there, the lock included
    dataset = dataset.restricted(chosen.classes, chosen.exclude_classes)
    if len(dataset.classes) < 2 and chosen.method != PRETRAIN:
        raise DataError(f"{dataset.name}: fewer than two classes: {', '.join(dataset.classes)}")
    if chosen.method == "probe" and any(images.stream for images in dataset.splits.values()):
        raise RecipeError(
            "a probe keeps the features of all images by their hashes, which those of a stream do "
            "not have: train the head with --recipe finetune --set trainable=head"
        )
    advice = BOX_ADVICE if from_box else None
    if not (resume or recipe or chosen.weights):
        advice = ADVICE
    again = f"resume with: {_resume_command(data, folder, device)}"
    return Plan(dataset, chosen, folder, resume, extends, device, show_groups, again, advice)


def _method_of(
    data: str | Path | Dataset,
    recipe: str | Path | None,
    out: str | Path | None,
    settings: Mapping[str, Any],
) -> str:
    """The method of the run to resume, before its images are listed."""
    if out:
        return RunFolder(Path(out)).recipe().method
    if recipe or settings.get("weights"):
        return load_recipe(recipe or "finetune", settings).method
    name = data.name if isinstance(data, Dataset) else Path(data).resolve().name
    run = find_run(RunFolder(Path(f"runs/{name}-scratch")), name)
    return run.recipe().method if run.exists() else "scratch"


def check_trackers(recipe: Recipe) -> None:
    """Raise `MissingExtraError` if a tracker is not installed."""
    for tracker in recipe.trackers:
        if not find_spec(tracker):
            raise MissingExtraError(f"trackers {tracker}", tracker)


def _check_weights(recipe: Recipe) -> None:
    teacher = recipe.teacher
    if teacher and not path_of(teacher).is_dir():
        parent = Path(teacher).parent
        if (parent.is_dir() and parent != Path()) or not is_hub_id(teacher):
            raise ModelError(f"teacher {teacher}: no such folder; a model on the Hub is OWNER/NAME")
    weights = recipe.weights
    if not weights or weights.startswith(PUBLISHED) or path_of(weights).exists():
        return
    hub = f"; for a repository on the Hub, give hub:{weights}" if is_hub_id(weights) else ""
    raise ModelError(f"weights {weights}: no such file or folder{hub}")


def _resume_command(data: str | Path | Dataset, folder: RunFolder, device: str) -> str:
    if isinstance(data, Dataset):
        return f"fv.train(dataset, out={str(folder.path)!r}, resume=True)"
    command = ["foodvision", "train", str(data), "--out", str(folder.path), "--resume"]
    return shlex.join([*command, *(["--device", device] if device != "auto" else [])])
