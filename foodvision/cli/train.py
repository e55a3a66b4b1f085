"""`foodvision choose`, `foodvision train` and `foodvision demo`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from foodvision.cli.arguments import Data, Device, Json
from foodvision.files.read import read_text
from foodvision.progress import is_first_process
from foodvision.text import printable


def choose(
    data: Data,
    weights: Annotated[
        list[str],
        typer.Option(metavar="SRC", help="A candidate, as 'train --weights' takes it; repeat."),
    ],
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """Find pretrained weights that suit these images; only training images are opened."""
    from foodvision.data import load_dataset
    from foodvision.text import to_json

    dataset = load_dataset(data)  # before importing torch, which takes seconds

    from foodvision.evaluation import choose

    choice = choose(dataset, weights, device)
    print(to_json(choice.to_dict()) if as_json else choice.summary())
    if not as_json:
        print(printable(f"Next: {choice.command(data)}"))


def train(
    data: Data,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="scratch, probe, finetune, distil, pretrain, …, or a TOML file.  [default: "
            "finetune with --weights, else scratch]"
        ),
    ] = None,
    network: Annotated[str | None, typer.Option(help="vit_ti, vit_b16, …")] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="SRC",
            help="Start from torchvision:vit_b_16/IMAGENET1K_V1, timm:NAME, hub:OWNER/NAME, box, a "
            "model folder, or FILE.npz, .safetensors or .pth.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting.")
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="File with the classes to learn, one per line."
        ),
    ] = None,
    exclude_classes: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Classes not to learn.")
    ] = None,
    fraction: Annotated[
        float | None, typer.Option(help="Share of the training images to use, 0-1.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.  [default: runs/DATA-RECIPE]")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            help="Resume the interrupted run in --out; with --set epochs=N, extend a finished one."
        ),
    ] = False,
    show_groups: Annotated[
        bool, typer.Option("--show-groups", help="Print the learning rate of each layer.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Train a classifier, or pretrain a network; the test split is not opened."""
    from foodvision.training.plan import Follower, Plan, plan_run

    named = {
        "network": network,
        "weights": weights,
        "classes": classes and _class_names(classes),
        "exclude_classes": exclude_classes,
        "fraction": fraction,
    }
    settings: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    settings |= parse_settings(changes or [])
    plan: Plan | Follower = Follower(data, device)
    if is_first_process():
        plan = plan_run(settings, data, recipe, out, device, resume, show_groups)
    from foodvision.classifier.describe import finetune_command
    from foodvision.training.run import run_plan  # imports torch, which takes seconds

    result = run_plan(plan)
    if isinstance(plan, Plan):
        following = shlex.join(["foodvision", "evaluate", str(result.folder), data])
        if plan.recipe.method == "pretrain":
            following = finetune_command(result.folder)
            if seed := plan.recipe.seed:  # for the same validation images
                following += f" --set seed={seed}"
        print(f"{result.metrics} (validation)")
        print(printable(f"Next: {following}"))


def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.  [default: runs/demo]")
    ] = None,
    open_app: Annotated[bool, typer.Option("--app", help="Open the app at the end.")] = False,
    device: Device = "auto",
) -> None:
    """Ask the model in the box, train on photographs (offline: on drawings), write a report."""
    from foodvision.demo import run_demo

    run_demo(out, open_app, device)


def _class_names(file: Path) -> tuple[str, ...]:
    try:
        lines = read_text(file).removeprefix("\ufeff").splitlines()
    except OSError as error:
        raise typer.BadParameter(f"--classes {file}: {error.strerror or error}") from error
    names = tuple(name for line in lines if (name := line.strip()))
    if any("\0" in name for name in names):
        raise typer.BadParameter(f"--classes {file}: not a UTF-8 text file")
    if not names:
        raise typer.BadParameter(f"--classes {file}: contains no class names")
    return names


def parse_settings(changes: list[str]) -> dict[str, str]:
    """Values by name, of ``--set KEY=VALUE``."""
    for change in changes:
        if "=" not in change:
            raise typer.BadParameter(f"--set {change}: expected KEY=VALUE")
    return {key.strip(): value.strip() for key, value in (c.split("=", 1) for c in changes)}
