"""The model of a Space: its files are copied into the folder, and what it is comes back as text."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from foodvision import drawings
from foodvision.apps.space import MODEL
from foodvision.apps.wording import make_title
from foodvision.captioning.repository import PUBLISHED
from foodvision.classifier.card import measured
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.exported import ExportedClassifier
from foodvision.classifier.licence import Licence, licence_of
from foodvision.deploy import Target, What
from foodvision.deploy.model_files import copy_captioner, copy_model, copy_onnx
from foodvision.deploy.plan import Plan
from foodvision.errors import ModelError
from foodvision.files.read import read_text
from foodvision.text import list_names, to_markdown
from foodvision.weights.box import ABOUT, BOX, GRAPHS, NETWORK
from foodvision.weights.licence import find_licence
from foodvision.weights.repository import CARD, CONFIG, find_model


class Contents(NamedTuple):
    """What the other files of a Space depend on."""

    title: str
    about: str
    """Of the model, for the card, in Markdown."""
    libraries: tuple[str, ...] = ()
    """That its network comes from, beside torch."""
    hub_model: str | None = None
    """What the Space loads from the Hub instead of its folder."""
    preload: str | None = None
    """The same as a Space's build fetches it."""
    known: dict[str, float] | None = None
    """The model's probabilities for a drawn pizza."""


def write_model(plan: Plan, folder: Path) -> Contents:
    """Write the model into the folder of a Space; of a static Space, its page as well.

    Raises:
        ModelError: if there is no such model, or it does not suit the target.

    """
    return _write_captioner(plan, folder) if plan.what is What.CAPTION else _write(plan, folder)


def licence_of_weights(plan: Plan) -> Licence:
    """What the publishers of the weights allow; nothing is built.

    Raises:
        ModelError: if there is no such model.

    """
    local = plan.model == BOX or Path(plan.model).is_dir()
    source = plan.model if local else f"hub:{plan.model}"
    if plan.what is What.CAPTION:
        return Licence(_name(plan), find_licence(source))
    try:
        return licence_of(find_model(plan.model), source)
    except ModelError as error:
        raise ModelError(f"{plan.model}: {error}") from error


def _write(plan: Plan, folder: Path) -> Contents:
    by_name = plan.model == BOX
    source = GRAPHS if by_name and plan.target is not Target.ZEROGPU else find_model(plan.model)
    classifier = Classifier.load(source, "cpu")
    title = plan.title or make_title(classifier.classes)
    names = list_names(classifier.classes)
    try:
        if plan.target is Target.ZEROGPU:
            if isinstance(classifier, ExportedClassifier):
                raise ModelError(
                    "is exported, and runs on the CPU: give the folder that it was exported from, "
                    "or --target cpu"
                )
            copy_model(source, folder / MODEL)
        else:
            with tempfile.TemporaryDirectory() as temporary:
                graphs = _exported(classifier, source, Path(temporary) / "export")
                if plan.target is Target.CPU:
                    copy_onnx(graphs, folder / MODEL)
                else:
                    from foodvision.apps.browser.page import write_page

                    about = f"It knows only these classes: {names}."
                    write_page(graphs, folder, title, about, plan.vendor)
    except ModelError as error:
        reason = re.sub(r"^\S*/export: ", "", str(error))  # not the name of a temporary folder
        raise ModelError(f"{plan.model}: {reason.removeprefix(f'{source}: ')}") from error
    library = getattr(classifier.config, "library", None)
    return Contents(
        title,
        f"An image classifier for {len(classifier.classes)} classes: {to_markdown(names)}.\n\n"
        f"Network: {classifier.config.description}; {classifier.info.parameters or 0:,} "
        f"parameters.{_trained_on(classifier)}\n\n## Measured\n\n"
        f"{measured(classifier.info.metrics)}{_about_box() if by_name else ''}",
        (library,) if library == "timm" else (),
        known=classifier.predict(drawings.draw_image("pizza", seed=0)).probabilities,
    )


def _exported(classifier: Classifier, source: Path, out: Path) -> Path:
    """The model as an export: itself, or one that is made now."""
    if isinstance(classifier, ExportedClassifier):
        return source
    from foodvision.export.export import export

    export(source, ["onnx"], out)
    return out


def _trained_on(classifier: Classifier) -> str:
    if not (data := classifier.info.data):
        return ""
    return (
        f" Trained on {data.train:,} images of the dataset {to_markdown(data.name)}, which are not "
        "in this Space: they belong to their owners."
    )


def _about_box() -> str:
    """What the box learnt from, its test figures and its limits, as its own card has them."""
    card = read_text(NETWORK / CARD)
    return f"\n{card[card.index(ABOUT) :]}"


def _write_captioner(plan: Plan, folder: Path) -> Contents:
    local = Path(plan.model).is_dir()
    if local:
        copy_captioner(Path(plan.model), folder / MODEL)
    return Contents(
        plan.title or "What is in this image?",
        f"Captions of images, written by {to_markdown(_name(plan))}.",
        hub_model=None if local else plan.model,
        preload=None if local else _preload(plan.model),
    )


def _name(plan: Plan) -> str:
    return Path(plan.model).name if Path(plan.model).is_dir() else plan.model


def _preload(model: str) -> str:
    """The large files at the commit that is loaded; the others are fetched when the app starts."""
    if not (known := PUBLISHED.get(model)):
        return model
    return f"{model} {CONFIG},{known.weights} {known.revision}"
