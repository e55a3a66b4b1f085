"""The README.md of a model folder: what the model is, what it was measured at, how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData


def model_card(config: dict[str, Any], kind: str, parameters: int) -> str:
    """The model card's text.

    Args:
        config: what config.json holds.
        kind: what kind of network it is, for a sentence.
        parameters: number of weights.

    """
    ours, classes = config["foodvision"], list(config["id2label"].values())
    in_transformers = config["model_type"] == "vit"
    # torchvision's name is there if the network is torchvision's.
    name = config.get("network", {}).get("name")
    front_matter = ModelCardData(
        library_name="transformers" if in_transformers else "foodvision",
        pipeline_tag="image-classification",
        tags=[name or "vision-transformer", "image-classification", "foodvision"],
    )
    shown = ", ".join(classes[:10]) + (f" and {len(classes) - 10} more" if classes[10:] else "")
    return "\n".join(
        [
            f"---\n{front_matter.to_yaml()}\n---\n",
            f"# {' or '.join(classes) if len(classes) < 4 else f'{len(classes)} classes'}?\n",
            f"This is {kind} of {parameters:,} parameters that tells {len(classes)} classes "
            f"apart: {shown}.\n",
            "## Measured\n",
            *_measured(ours.get("metrics"), ours.get("recipe")),
            "## Trained on\n",
            *_trained_on(ours.get("data"), ours.get("recipe")),
            "## Use\n",
            *_use(
                in_transformers, "it is torchvision's" if name else "it averages over the patches"
            ),
        ]
    )


def how_trained(recipe: Mapping[str, Any]) -> str:
    """From where, what and how long, in a few words."""
    # Of a file or folder the name alone: where it lies is nobody's concern.
    weights = recipe["weights"]
    if weights and ":" not in weights:
        weights = Path(weights).name
    begun = f"beginning with {weights}, " if weights else ""
    layers = "the head alone, " if recipe["trainable"] == "head" else ""
    how = "by L-BFGS" if recipe["optimizer"] == "lbfgs" else f"{recipe['epochs']} epochs"
    return begun + layers + how


def _measured(metrics: dict[str, Any] | None, recipe: dict[str, Any] | None) -> list[str]:
    if not metrics:
        return ["Nothing has been measured yet.\n"]
    low, high = metrics["accuracy_ci95"]
    chosen, precision = "the best epoch", "float32"
    if recipe and recipe["optimizer"] == "lbfgs":
        chosen, precision = "the strength of the head's L2 penalty", recipe["precision"]
    return [
        f"On {metrics['n']} **validation** images in {precision}, which also chose {chosen} (so "
        "expect a little less on a test set; `foodvision evaluate` measures that):\n",
        f"- log loss {metrics['log_loss']:.4f}",
        f"- accuracy {metrics['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%})",
        f"- expected calibration error {metrics['ece']:.3f}\n",
    ]


def _trained_on(data: dict[str, Any] | None, recipe: dict[str, Any] | None) -> list[str]:
    if not data or not recipe:
        return ["Not known.\n"]
    lines = [
        f"{data['train']} images of {data['name']} ({data['validation']} more for validation), "
        f"{how_trained(recipe)}, seed {recipe['seed']}. The whole recipe is in config.json.\n"
    ]
    if data["unreadable"]:
        lines.append(f"{data['unreadable']} images could not be opened and were left out.\n")
    return lines


def _use(in_transformers: bool, otherwise: str) -> list[str]:
    lines = [
        "```python",
        "import foodvision as fv",
        'fv.Classifier.load("THIS_FOLDER").predict("photo.jpg")',
        "```\n",
    ]
    if not in_transformers:
        return [
            *lines,
            f"transformers cannot express this network ({otherwise}), so the weights have "
            "foodvision's own names.\n",
        ]
    return [
        *lines,
        "or, with the same probabilities:\n",
        "```python",
        "from transformers import pipeline",
        'pipeline("image-classification", model="THIS_FOLDER")("photo.jpg")',
        "```\n",
    ]
