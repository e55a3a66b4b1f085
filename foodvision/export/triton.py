"""A model repository for NVIDIA's Triton Inference Server: the graph, and how it is served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import ModelError
from foodvision.export.graph import split
from foodvision.export.verify import BATCHES, MAX_DIFFERENCE, of_one_size, shares_of
from foodvision.images.decode import ImageSource
from foodvision.text import printable

VERSION, GRAPH, LABELS, CONFIG = "1", "model.onnx", "labels.txt", "config.pbtxt"

MAX_BATCH = 32
"""Images at a time, at most."""

MAX_DELAY_US = 2000
"""Microseconds that an image waits for others."""

_CONFIG = """\
# Images of any size, upright and in sRGB; those of a batch have the same. The folder is the name.
backend: "onnxruntime"
max_batch_size: {batch}
input [
  {{ name: "image", data_type: TYPE_UINT8, dims: [ -1, -1, 3 ] }}
]
output [
  {{
    name: "probabilities", data_type: TYPE_FP32, dims: [ {classes} ], label_filename: "{labels}"
  }},
{distance}  {{ name: "logits", data_type: TYPE_FP32, dims: [ {classes} ] }}
]
dynamic_batching {{ max_queue_delay_microseconds: {delay} }}
"""

_DISTANCE = """\
  { name: "distance", data_type: TYPE_FP32, dims: [ 1 ], reshape: { shape: [ ] } },
"""


def save_triton(
    classifier: TorchClassifier, whole: ModelProto, folder: Path, sources: Sequence[ImageSource]
) -> None:
    """Write the folder of one model of the repository, and check its graph.

    Args:
        classifier: that was exported.
        whole: see `foodvision.export.graph.to_onnx`, with its weights; not changed.
        folder: does not exist yet; Triton calls the model by its name.
        sources: images to check with.

    Raises:
        ModelError: with the figure, if the graph drifts from the network.
        OSError: if a file cannot be written.

    """
    graph = folder / VERSION / GRAPH
    graph.parent.mkdir(parents=True)
    model = split(whole, "image", "batch")
    onnx.save_model(model, graph, save_as_external_data=True, location=f"{GRAPH}_data")
    graph.with_name(f"{GRAPH}_data").chmod(graph.stat().st_mode)  # the server is another user
    content = _CONFIG.format(
        batch=MAX_BATCH,
        classes=len(classifier.classes),
        labels=LABELS,
        distance=_DISTANCE if classifier.limits else "",
        delay=MAX_DELAY_US,
    )
    (folder / CONFIG).write_text(content, encoding="utf-8")
    lines = "".join(f"{printable(name)}\n" for name in classifier.classes)
    (folder / LABELS).write_text(lines, encoding="utf-8")
    check(classifier, graph, sources)


def check(classifier: TorchClassifier, graph: Path, sources: Sequence[ImageSource]) -> None:
    """Call the graph as a server does, with uint8 images in batches.

    Raises:
        ModelError: with the figure, if it drifts from the network.

    """
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for size in BATCHES:
        pixels = np.stack([of_one_size(sources[i % len(sources)]) for i in range(size)])
        (found,) = session.run(["probabilities"], {"image": pixels})
        difference = float(np.abs(found - shares_of(classifier, pixels)).max())
        if not difference <= MAX_DIFFERENCE:
            raise ModelError(
                "the graph for Triton is not equal to the network, and was not kept: largest "
                f"difference of probabilities {difference:.1e}"
            )
