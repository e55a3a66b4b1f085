"""README.md of an exported folder."""

from __future__ import annotations

from collections.abc import Mapping

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.export.verify import Check
from foodvision.text import list_names, printable

_TEXT = """# {name}

An export of a classifier of images ({network}) by foodvision, for {classes}.

| graphs | checked against the network |
|---|---|
{checks}

`onnx/model.onnx` and `openvino/model.xml` take `pixel_values`, float32 (N, 3, H, W) with values of
0-255, to `logits`. `onnx/image.onnx` and `openvino/image.xml` take `image`, uint8 RGB
(1, H, W, 3), to `probabilities`{distance} and `logits`. Both take images of any size, upright and
in sRGB, and resize and normalise them in the graph: prepare nothing yourself. The names of int8
graphs end in `_quantized`.{triton}

```python
import foodvision as fv

fv.Classifier.load("{name}").predict("photo.jpg")  # the fastest graph here; imports no torch
```

```js
const classify = await pipeline("image-classification", "{name}");
await classify("photo.jpg"); // one image at a time
```
"""


_TRITON = """ `triton` is a model repository for the Triton Inference Server
(`tritonserver --model-repository triton`), with `image` as uint8 RGB (N, H, W, 3)."""


def export_card(
    classifier: TorchClassifier, checks: Mapping[str, Check], name: str, triton: bool
) -> str:
    """The text of the card.

    Args:
        classifier: that was exported.
        checks: of each run.
        name: of the folder.
        triton: whether it holds a repository for Triton.

    """
    return _TEXT.format(
        name=printable(name),
        network=classifier.config.description,
        classes=printable(list_names(classifier.classes)),
        checks="\n".join(f"| {run} | {check.summary()} |" for run, check in checks.items()),
        distance=", `distance` (how unfamiliar the image is)" if classifier.limits else "",
        triton=_TRITON if triton else "",
    )
