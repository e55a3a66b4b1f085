"""Is a classifier in bf16 and int8 as good as in float32? On all test images of a dataset.

    python benchmarks/precisions.py MODEL EXPORT DATA

Prints log loss and accuracy of the network in float32 and bf16 and of every graph of its export,
and how many answers are those of the network in float32.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from foodvision.backends import Precision
from foodvision.classifier.exported import ExportedClassifier
from foodvision.classifier.info import Export
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import load_dataset
from foodvision.metrics import log_loss_of_each
from foodvision.weights.repository import CONFIG, read_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("exported", type=Path)
    parser.add_argument("data")
    arguments = parser.parse_args()
    network = TorchClassifier.load(arguments.model, "cpu")
    test = load_dataset(arguments.data).splits["test"].relabelled(network.classes)
    sources = [image.source for image in test]

    def computed() -> Iterator[tuple[str, np.ndarray]]:
        precisions: tuple[Precision, ...] = ("float32", "bf16")
        for precision in precisions:
            rows = network.logits(sources, precision=precision)
            yield f"torch/{precision}", np.array(list(rows))
        for run in Export.from_config(read_json(arguments.exported / CONFIG)).runs:
            graph = ExportedClassifier.read(arguments.exported, run)
            yield run, np.array(list(graph.logits(sources)))

    print(f"{arguments.data}, n = {len(test)}")
    first = None
    for name, logits in computed():
        answers = logits.argmax(axis=1)
        first = answers if first is None else first
        print(
            f"{name:18} log loss {log_loss_of_each(logits, test.labels).mean():.4f}  accuracy "
            f"{np.mean(answers == test.labels):.1%}  same answers {np.mean(answers == first):.2%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
