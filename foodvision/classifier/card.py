"""The README.md of a model folder: what the model is, what it was measured at, how to use it."""

from __future__ import annotations

from collections.abc import Sequence

from huggingface_hub import ModelCardData

from foodvision.classifier.info import Calibration, Measured, ModelInfo, TeacherInfo
from foodvision.text import ask_which, list_names, to_markdown

FAMILIES = {"vit": "vision-transformer", "torchvision": "torchvision", "timm": "timm"}
"""The tag of each family of networks."""

_CLASS_TOKEN = (
    "Its class token was not trained to say anything about an image: fine-tune all layers, not the "
    "head alone. transformers' ViTModel adds a pooling layer, which has not been trained either.\n"
)

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
    info: ModelInfo,
    classes: Sequence[str],
    description: str,
    family: str,
    in_transformers: bool,
    says_unsure: bool,
) -> str:
    """The model card's text.

    Args:
        info: what is known of the model.
        classes: names, in the order of the logits.
        description: of the network, as a noun phrase without an article.
        family: of the network: vit, torchvision or timm.
        in_transformers: whether transformers reads the folder as well.
        says_unsure: whether foodvision says when an answer is not sure.

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
            f"# {ask_which(names) if len(names) <= 4 else f'{len(names)} classes of images'}\n",
            f"An image classifier for {len(names)} classes: {list_names(names)}.\n",
            f"Network: {description}; {info.parameters:,} parameters.\n",
            f"## Measured\n\n{measured(info.metrics)}",
            f"## How sure it is\n\n{_certainty(info.calibration, says_unsure)}",
            f"## Trained on\n\n{_trained_on(info)}",
            f"## Use\n\n{_CODE}",
            _PIPELINE if in_transformers else _NO_PIPELINE,
        ]
    )


def headless_card(info: ModelInfo, description: str, family: str, in_transformers: bool) -> str:
    """The text of the card of a pretrained network without a head.

    Args:
        info: what is known of it.
        description: of the network, as a noun phrase without an article.
        family: of the network: vit, torchvision or timm.
        in_transformers: whether transformers reads the folder as well.

    """
    front_matter = ModelCardData(
        library_name="transformers" if in_transformers else "foodvision",
        pipeline_tag="image-feature-extraction",
        tags=[FAMILIES[family], "self-supervised", "foodvision"],
    )
    found = "Nothing has been measured yet.\n"
    if hidden := info.pretraining:
        found = (
            f"On {hidden.patches:,} hidden patches of {hidden.n:,} **validation** images, which "
            "also chose the best epoch:\n\n"
            f"- log loss of their colours {hidden.log_loss:.4f} (a guess has ln 512 = 6.24)\n"
            f"- accuracy of their colours {hidden.accuracy:.1%}\n"
        )
    return "\n".join(
        [
            f"---\n{front_matter.to_yaml()}\n---\n",
            "# A pretrained network without a head\n",
            "It turns images into features and knows no classes. It learnt from the images alone, "
            "without their labels: of half of the patches, which were hidden, it predicted the "
            "mean colour (arXiv 2010.11929, appendix B.1.2).\n",
            f"Network: {description}; {info.parameters:,} parameters.\n",
            f"## Measured\n\n{found}",
            f"## Trained on\n\n{_trained_on(info)}",
            "## Use\n\n```sh\nfoodvision train DATA --recipe finetune --weights THIS_FOLDER\n```\n",
            *([_CLASS_TOKEN] if in_transformers else []),
        ]
    )


def measured(metrics: Measured | None) -> str:
    """The section of a card that has the figures, in Markdown."""
    if metrics is None:
        return "Nothing has been measured yet.\n"
    low, high = metrics.accuracy_ci95
    return (
        f"On {metrics.n:,} **validation** images in {to_markdown(metrics.precision)}, which also "
        f"chose {to_markdown(metrics.chosen)}; figures on a test set, which `foodvision evaluate` "
        "measures, are usually slightly worse:\n\n"
        f"- log loss {metrics.log_loss:.4f}\n"
        f"- accuracy {metrics.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})\n"
        f"- expected calibration error {metrics.ece:.3f}\n"
    )


def _certainty(calibration: Calibration | None, says_unsure: bool) -> str:
    if calibration is None:
        text = "Its probabilities are not calibrated.\n"
    else:
        text = (
            f"Its probabilities are calibrated by temperature scaling (T = "
            f"{calibration.temperature:.3f}, fitted on {calibration.n:,} validation images). On "
            f"these, the log loss was {calibration.log_loss_before:.4f} before and is "
            f"{calibration.log_loss_after:.4f}; the expected calibration error was "
            f"{calibration.ece_before:.3f} and is {calibration.ece_after:.3f}.\n"
        )
    if says_unsure:
        text += (
            "\nfoodvision says when an answer is not sure (`sure` is false): when its probability "
            "is low, or when the image is unlike the training images. An image of something else "
            "can still get a sure answer.\n"
        )
    return text


def _trained_on(info: ModelInfo) -> str:
    if info.data is None:
        return "Not known.\n"
    data = info.data
    text = (
        f"{data.train:,} images of the dataset {to_markdown(data.name)} ({data.validation:,} more "
        f"for validation), {to_markdown(info.training or 'in an unknown way')}. The whole recipe "
        "is in config.json.\n"
    )
    if teacher := info.teacher:
        text += f"\n{_taught_by(teacher)}"
    if data.unreadable:
        text += f"\n{data.unreadable:,} images could not be opened and were left out.\n"
    return text


def _taught_by(teacher: TeacherInfo) -> str:
    origins = [
        f"{origin.weights} (licence: {origin.licence or 'not stated beside them'})"
        for origin in teacher.origins
    ]
    learnt = f"learnt from the weights {list_names(origins)}" if origins else "began from scratch"
    text = (
        f"It also learnt the answers of a teacher, {teacher.name} ({teacher.network}), which "
        f"{learnt}."
    )
    return f"{to_markdown(text)}\n"
