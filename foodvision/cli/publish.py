"""`foodvision export`, `app`, `deploy` and `push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from foodvision.backends import Format
from foodvision.cli.arguments import Browser, Device, Host, Model, Port, Share
from foodvision.deploy import Target, What
from foodvision.text import printable
from foodvision.weights.box import BOX, path_of


def export(
    model: Model,
    formats: Annotated[list[Format], typer.Option("--format", help="May be repeated.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Add graphs in 8-bit integers: smaller and faster.")
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Its validation images check the graphs, its training images calibrate int8.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="New folder.  [default: MODEL-export]")] = None,
) -> None:
    """Write a classifier as graphs for other runtimes, each proven equal to the network."""
    from foodvision.classifier.describe import describe

    describe(model)  # before importing torch, which takes seconds
    out = out or _beside(model, "export")

    from foodvision.export.export import export

    checks = export(model, formats, out, data, int8)
    for run, check in checks.items():
        print(printable(f"{run}: {check.summary()}"))
    print(printable(f"Next: foodvision predict IMAGE --model {out}"))


def open_app(
    model: Model = BOX,
    examples: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Images to try.  [default: drawings]")
    ] = None,
    title: Annotated[str | None, typer.Option(help="[default: made of the classes]")] = None,
    description: Annotated[str | None, typer.Option(help="Markdown, below the title.")] = None,
    article: Annotated[str | None, typer.Option(help="Markdown, below all else.")] = None,
    workers: Annotated[
        int,
        typer.Option(min=1, max=64, help="Processes with the model each: for many cores or GPUs."),
    ] = 1,
    share: Share = False,
    host: Host = "127.0.0.1",
    port: Port = None,
    browser: Browser = True,
    device: Device = "auto",
) -> None:
    """Open the app of a classifier in the browser."""
    from foodvision.apps.serving import Address
    from foodvision.apps.uploads import find_examples
    from foodvision.classifier.describe import describe

    images = find_examples(examples) if examples else []
    describe(model)  # before importing torch, which takes seconds

    from foodvision.apps.classify import launch_app
    from foodvision.apps.wording import Wording
    from foodvision.classifier.classifier import Classifier

    wording = Wording(title, description, article)
    address = Address(host, port, browser, share)
    backend = "torch" if model == BOX else None  # its network can show what it looked at
    classifier = Classifier.load(model, device, backend)
    launch_app(classifier, images, wording, address, processes=workers)


Private: TypeAlias = Annotated[bool, typer.Option("--private", help="Visible to its owner alone.")]
NonCommercial: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--non-commercial",
        help="Send weights whose licence forbids commercial use, and what is tuned from them.",
    ),
]


def deploy(
    target: Annotated[
        Target,
        typer.Option(
            help="static: in the visitor's browser, free. zerogpu: Gradio on a shared GPU. cpu: "
            "Gradio on ONNX Runtime, for a paid plan or a server of your own."
        ),
    ],
    model: Model = BOX,
    space: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Put it online there, as you.")
    ] = None,
    what: Annotated[What, typer.Option(help="The app; MODEL is its model.")] = What.CLASSIFY,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write.  [default: MODEL-TARGET]")
    ] = None,
    title: Annotated[str | None, typer.Option(help="[default: made of the classes]")] = None,
    examples: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Images that visitors may try, which will be public."),
    ] = None,
    vendor: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="For static: where npm installed onnxruntime-web, to copy it instead of a CDN.",
        ),
    ] = None,
    make_zip: Annotated[
        bool, typer.Option("--zip", help="Also write OUT.zip, to upload by hand.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write and check the folder; send nothing.")
    ] = False,
    private: Private = False,
    non_commercial: NonCommercial = False,
) -> None:
    """Put a model online: write the folder of a Hugging Face Space, check it, and push it."""
    from foodvision.classifier.describe import describe
    from foodvision.deploy.plan import Plan

    plan = Plan(model, target, what, title, examples, vendor)
    if what is What.CLASSIFY:
        describe(model)  # before importing torch, which takes seconds

    from foodvision.deploy.deploy import deploy

    out = out or _beside(model, target)
    for line in deploy(plan, out, None if dry_run else space, make_zip, private, non_commercial):
        print(printable(line))
    if dry_run or not space:
        other = "leave --dry-run out" if space else "give --space OWNER/NAME"
        print(printable(f"Nothing was sent. Upload the files of {out}, or {other}"))


def push(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder, an export, or box.")],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Of the Hub's repository.")],
    private: Private = False,
    non_commercial: NonCommercial = False,
) -> None:
    """Put a model on the Hub, where every command finds it as OWNER/NAME."""
    from foodvision.classifier.describe import describe
    from foodvision.deploy.push import push
    from foodvision.errors import ModelError

    if not (folder := path_of(model)).is_dir():
        raise ModelError(f"{model}: no such model folder")
    describe(model)
    address, size = push(folder, name, private, non_commercial)
    print(printable(f"{address}: {size / 1e6:.1f} MB"))
    print(printable(f"Next: foodvision predict IMAGE --model {name}"))


def _beside(model: str, suffix: str) -> Path:
    """The folder to write if none is named."""
    path = Path(model)
    if not path.is_dir():  # a Hub id
        path = Path(path.name)
    elif path.name in ("", ".."):
        path = path.resolve()
    return path.with_name(f"{path.name}-{suffix}")
