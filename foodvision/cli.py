"""The command line: one short function for each command, and one place where errors end.

Nothing heavy is imported before a command needs it: `foodvision --help` does not import torch.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from foodvision.errors import FoodvisionError, RunInterruptedError

app = typer.Typer(
    name="foodvision",
    help="From the paper to a live app: train, measure and serve Vision Transformers.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
data_app = typer.Typer(help="Fetch and split data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")
paper_app = typer.Typer(help="The paper, checked.", no_args_is_help=True)
app.add_typer(paper_app, name="paper")

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Folder of class folders, Parquet folder or glob, hub:OWNER/NAME, or a name that "
        "'data get' knows: drawn, mini, mini20, big.",
    ),
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="Model folder, or Hub id OWNER/NAME.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


class Precision(StrEnum):
    """Of a network's arithmetic."""

    AUTO = "auto"
    BF16 = "bf16"
    FLOAT32 = "float32"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def main() -> None:
    """Run the command line: exit 0 on success, 1 with one line on failure, 2 on wrong usage."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as Ctrl-C does
    logger, to_stderr = logging.getLogger("foodvision"), logging.StreamHandler()
    logger.setLevel(logging.INFO)
    logger.addHandler(to_stderr)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except RunInterruptedError as interrupted:
        print(f"foodvision: {interrupted}", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        sys.exit(f"foodvision: {_one_line(error)}")
    finally:
        logger.removeHandler(to_stderr)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, FoodvisionError):
        return text
    if isinstance(error, OSError):
        return f"{error.filename or 'input/output'}: {error.strerror or text}"
    # By name and text: torch may not have been imported, and MPS and drivers raise RuntimeError.
    out_of_memory = isinstance(error, RuntimeError) and "out of memory" in text
    if out_of_memory or type(error).__name__ == "OutOfMemoryError":
        return (
            "not enough memory on the device: use smaller batches (train: --set batch_size=N, "
            "predict: --batch-size N) or --device cpu"
        )
    return f"{type(error).__name__}: {text} (a fault of foodvision's; --debug shows where)"


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"foodvision {version('foodvision')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """From the paper to a live app: train, measure and serve Vision Transformers."""


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="Folder of the run; runs/demo.")] = None,
    open_app: Annotated[bool, typer.Option("--app", help="Open the app at the end.")] = False,
    device: Device = "auto",
) -> None:
    """Do everything once, offline, on images we draw: data, training, report, app."""
    from foodvision.demo import run_demo

    run_demo(out, open_app, device)


@data_app.command("get")
def data_get(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="drawn: pizza, steak and sushi that we draw. mini, mini20: photographs of them, "
            "10 % and 20 % of Food-101's, as the course has them. big: Food-101, all 101 classes, "
            "5 GB (hub:ethz/food101 as DATA is the same without 'data get').",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to write; data/NAME.")] = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Cut mini or mini20 from this Food-101 instead."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another cut from --source.")] = 0,
) -> None:
    """Fetch a data set into a folder; what was interrupted goes on where it was."""
    from foodvision.data import get_data

    folder = out or Path("data") / name
    get_data(name, folder, source, seed)
    print(folder)


@data_app.command("split")
def data_split(
    data: Data,
    validation: Annotated[float, typer.Option(help="Share that validates.")] = 0.15,
    test: Annotated[float, typer.Option(help="Share that is held out as the test.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Another seed, another split.")] = 0,
) -> None:
    """Split a flat folder into train, validation and test; writes split.csv, copies nothing."""
    from foodvision.data import load_dataset, split_folder

    path = split_folder(
        load_dataset(data, follow_split_csv=False), seed, {"test": test, "validation": validation}
    )
    for split, images in load_dataset(data).splits.items():
        print(f"{split:<11}{len(images):>7,} images")
    print(path)


@app.command()
def train(
    data: Data,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="scratch, probe, finetune, finetune_paper, …, or a TOML file. Without one it is "
            "scratch, or finetune where there are weights."
        ),
    ] = None,
    network: Annotated[str | None, typer.Option(help="vit_ti, vit_b16, …")] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="SRC",
            help="Begin with torchvision:vit_b_16/IMAGENET1K_V1, timm:NAME, hub:OWNER/NAME, a "
            "model folder, or FILE.npz, .safetensors or .pth.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting.")
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="A file that names the classes to learn, a line each."
        ),
    ] = None,
    exclude_classes: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Classes not to learn.")
    ] = None,
    fraction: Annotated[
        float | None, typer.Option(help="Share of the training images to learn from, in 0-1.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; runs/DATA-RECIPE.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the interrupted run in --out.")] = False,
    show_groups: Annotated[
        bool, typer.Option("--show-groups", help="Print which layers learn at which rate.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Train a classifier on a data set; its test split stays closed."""
    from foodvision.training.run import train_with

    named = {
        "network": network,
        "weights": weights,
        "classes": classes and _class_names(classes),
        "exclude_classes": exclude_classes and _names(exclude_classes.split(",")),
        "fraction": fraction,
    }
    settings: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    settings |= _settings(changes or [])
    result = train_with(settings, data, recipe, out, device, resume, show_groups)
    print(f"{result.metrics} (validation)")
    print(f"Next: foodvision evaluate {result.folder} {data}")


def _class_names(file: Path) -> tuple[str, ...]:
    try:
        names = _names(file.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"--classes {file}: is not UTF-8 text that can be read") from error
    if not names:
        raise typer.BadParameter(f"--classes {file}: names no class")
    return names


def _names(texts: list[str]) -> tuple[str, ...]:
    return tuple(name for text in texts if (name := text.strip()))


def _settings(changes: list[str]) -> dict[str, str]:
    for change in changes:
        if "=" not in change:
            raise typer.BadParameter(f"--set {change}: write it as key=value")
    return {key.strip(): value.strip() for key, value in (c.split("=", 1) for c in changes)}


@app.command()
def evaluate(
    model: Model,
    data: Data,
    split: Annotated[
        str | None, typer.Option(help="train, validation, test or all; test if there is one.")
    ] = None,
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the report.")] = None,
    precision: Annotated[
        Precision, typer.Option(help="bf16 is faster on some devices, and a little less exact.")
    ] = Precision.FLOAT32,
    device: Device = "auto",
) -> None:
    """Measure a classifier: log loss first, then accuracy with its interval, and each class."""
    from foodvision.classifier.classifier import Classifier
    from foodvision.evaluation import evaluate, make_report_folder

    if out:
        make_report_folder(out)
    report = evaluate(Classifier.load(model, device), data, split, precision=precision.value)
    if out:
        report.save(out)
    print(json.dumps(report.to_dict()) if as_json else report.summary())
    if out and not as_json:
        print(f"report in {out}")


@app.command()
def predict(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT…", help="File, folder, glob, URL, or - for stdin.")
    ],
    model: Annotated[str, typer.Option(help="Model folder, or Hub id OWNER/NAME.")],
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Write F.csv or F.jsonl instead.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 32,
    device: Device = "auto",
) -> None:
    """Classify images; an image that cannot be opened costs no other one."""
    from foodvision.classifier.classifier import Classifier
    from foodvision.classifier.predict import find_inputs, write_predictions

    sources = find_inputs(inputs)
    predictions = Classifier.load(model, device).predict_many(sources, batch_size)
    write_predictions(predictions, len(sources), out, as_json)


@app.command()
def info(model: Model) -> None:
    """Say what a model is: network, images, classes, training, measured numbers."""
    from foodvision.classifier.info import describe

    print(describe(model))


@app.command(name="app")
def open_app(
    model: Model,
    host: Annotated[str, typer.Option(help="0.0.0.0 for all on the network.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="The first free one from 7860 on.")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
    device: Device = "auto",
) -> None:
    """Open the app of a classifier in the browser."""
    from foodvision.apps.classify import launch_app
    from foodvision.classifier.classifier import Classifier

    launch_app(Classifier.load(model, device), host, port, browser)


@paper_app.command("parity")
def paper_parity(
    networks: Annotated[
        list[str] | None,
        typer.Option("--network", help="Again for another one; vit_b16, vit_b32 and vit_l16."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare our logits with torchvision's, timm's, transformers' and the authors' format's."""
    from foodvision.paper.parity import MODELS, measure_parity

    rows = []
    for row in measure_parity(networks or MODELS):
        rows.append(row.to_dict())
        if not as_json:
            print(f"{row.family:<13}{row.model:<20}{row.max_abs_diff:.1e}", flush=True)
    if as_json:
        print(json.dumps(rows))
