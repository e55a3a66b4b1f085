"""The README.md of a model folder: what the model is, what it was measured at, how to use it."""

from __future__ import annotations

from collections.abc import Sequence

from huggingface_hub import ModelCardData

from foodvision.classifier.info import Measured, ModelInfo
from foodvision.data.dataset import list_names
from foodvision.text import to_markdown

FAMILIES = {"vit": "vision-transformer", "torchvision": "torchvision", "timm": "timm"}
"""The tag of each family of networks."""

_CODE = """\
```python
import foodvision as fv
fv.Classifier.load("THIS_FOLDER").predict("photo.jpg")
```
"""
_PIPELINE = """\
or, with the same probabilities:

```python
from transformers import pipeline
pipeline("image-classification", model="THIS_FOLDER")("photo.jpg")
```
"""
_NO_PIPELINE = """\
transformers cannot express this network, so the weights have foodvision's own names.
"""


def model_card(
    info: ModelInfo, classes: Sequence[str], description: str, family: str, in_transformers: bool
) -> str:
    """The model card's text.

    Args:
        info: what is known of the model.
        classes: names, in the order of the logits.
        description: of the network, as a noun phrase without an article.
        family: of the network: vit, torchvision or timm.
        in_transformers: whether transformers reads the folder as well.

    """
    front_matter = ModelCardData(
        library_name="transformers" if in_transformers else "foodvision",
        pipeline_tag="image-classification",
        tags=[FAMILIES[family], "image-classification", "foodvision"],
    )
    names = [to_markdown(name) for name in classes]
    return "\n".join(
        [
            f"---\n{front_matter.to_yaml()}\n---\n",
            f"# {' or '.join(names) if len(names) < 4 else f'{len(names)} classes'}?\n",
            f"An image classifier for {len(names)} classes: {list_names(names)}.\n",
            f"Network: {description}; {info.parameters:,} parameters.\n",
            f"## Measured\n\n{_measured(info.metrics)}",
            f"## Trained on\n\n{_trained_on(info)}",
            f"## Use\n\n{_CODE}",
            _PIPELINE if in_transformers else _NO_PIPELINE,
        ]
    )


def _measured(metrics: Measured | None) -> str:
    if metrics is None:
        return "Nothing has been measured yet.\n"
    low, high = metrics.accuracy_ci95
    return (
        f"On {metrics.n:,} **validation** images in {to_markdown(metrics.precision)}. They also "
        f"chose {to_markdown(metrics.chosen)}, so expect slightly worse figures on a test set, "
        "which `foodvision evaluate` measures:\n\n"
        f"- log loss {metrics.log_loss:.4f}\n"
        f"- accuracy {metrics.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})\n"
        f"- expected calibration error {metrics.ece:.3f}\n"
    )


def _trained_on(info: ModelInfo) -> str:
    if info.data is None:
        return "Not known.\n"
    data = info.data
    text = (
        f"{data.train:,} images of {to_markdown(data.name)} ({data.validation:,} more for "
        f"validation), {to_markdown(info.training or 'in an unknown way')}. The whole recipe is in "
        "config.json.\n"
    )
    if data.unreadable:
        text += f"\n{data.unreadable:,} images could not be opened and were left out.\n"
    return text
