"""A probe against scikit-learn's logistic regression on the same features, images and strength.

    .venv/bin/python -m benchmarks.probe_sklearn RUN DATA

RUN is a probe that was trained on DATA. Features are computed in float32 by the run's own network;
training images are those of its split.csv, scored images those of the test split. scikit-learn's
C is 1 / (n · λ) of the penalty that the run chose.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

import foodvision as fv
from foodvision.backends.torch import in_batches
from foodvision.data.dataset import LabelledImages


def features_of(classifier: fv.Classifier, images: LabelledImages) -> np.ndarray:
    """Float32 of shape (n, D)."""
    sources = (example.source for example in images)
    network = classifier.network
    rows = in_batches(network.features, sources, classifier.spec, classifier.device, 32)
    return np.stack(list(rows))


def main(run: str, data: str) -> None:
    """Print both log losses on the test images, and their difference."""
    classifier = fv.Classifier.load(run)
    splits = fv.load_dataset(data).splits
    with (Path(run) / "split.csv").open(newline="", encoding="utf-8") as file:
        trained_on = {row["name"] for row in csv.DictReader(file) if row["split"] == "train"}
    given = splits["train"]
    train = given.subset([i for i, name in enumerate(given.names()) if name in trained_on])
    history = [json.loads(line) for line in (Path(run) / "history.jsonl").read_text().splitlines()]
    best = min(history, key=lambda fit: fit["log_loss"])

    scaler = StandardScaler().fit(x := features_of(classifier, train))
    theirs = LogisticRegression(C=1 / (len(train) * best["l2"]), max_iter=10_000, tol=1e-6)
    theirs.fit(scaler.transform(x), train.labels)
    x, labels = scaler.transform(features_of(classifier, splits["test"])), splits["test"].labels
    probabilities = theirs.predict_proba(x)
    ours = fv.evaluate(classifier, data, "test").log_loss
    print(f"{len(train)} training, {len(labels)} test images, L2 penalty {best['l2']:.3g}")
    print(f"scikit-learn {log_loss(labels, probabilities):.4f}, ", end="")
    print(f"{(probabilities.argmax(axis=1) == labels).mean():.1%}; foodvision {ours:.4f}")
    print(f"difference {ours - log_loss(labels, probabilities):+.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
