"""Which score tells best that an image is of no known class? Four, on two networks or more.

The method and its variant are chosen on half of the other classes against validation images; the
other half, and photographs of groceries, are only reported.

    python benchmarks/unsure.py --data KNOWN --others FOOD101_PARQUET --groceries FOLDER MODEL...

Each MODEL is the folder of a finished run on KNOWN, with its split.csv. It is calibrated if it is
not. KNOWN and the others are 64 px thumbnails; groceries are made such.
"""

from __future__ import annotations

import argparse
import copy
import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from PIL import Image, ImageOps
from scipy.special import logsumexp, softmax
from sklearn.metrics import roc_auc_score

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import load_dataset
from foodvision.evaluation.calibrate import calibrate_on, is_calibrated, sample
from foodvision.evaluation.unsure import fit_unsure

KNOWN = ("pizza", "steak", "sushi")
PER_CLASS = {"train": 40, "test": 50}
RESAMPLES = 2000


def main() -> None:
    """Print a table for each model, and the mean over models of what chooses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    for name in ("--data", "--others", "--groceries"):
        parser.add_argument(name, required=True, type=Path)
    args = parser.parse_args()
    gains = []
    for model in args.models:
        classifier = TorchClassifier.load(model)
        images = gather(Path(model), args.data, args.others, args.groceries)
        found = {
            name: (np.stack(list(classifier.features(sources))), np.array(labels))
            for name, (sources, labels) in images.items()
        }
        print(f"\n{model}")
        gains.append(report(classifier, found))
    print("\nmean gain in AUROC over maximum probability, on the classes to choose by:")
    mean = {name: np.mean([gain[name] for gain in gains]) for name in gains[0]}
    for name in sorted(mean, key=mean.__getitem__, reverse=True):
        print(f"{mean[name]:+.4f}  {name}")


def gather(run: Path, data: Path, others: Path, groceries: Path) -> dict[str, tuple[Any, Any]]:
    """Images and labels: train, validation, test; choose, report (other classes), grocery."""
    known = load_dataset(data).splits
    with (run / "split.csv").open(newline="", encoding="utf-8") as file:
        split = {row["name"]: row["split"] for row in csv.DictReader(file)}
    sets: dict[str, tuple[Any, Any]] = {}
    for part in ("train", "validation"):
        chosen = [i for i, name in enumerate(known["train"].names()) if split.get(name) == part]
        images = known["train"].subset(chosen)
        sets[part] = [example.source for example in images], images.labels
    train, labels = sets["train"]
    kept = sample(len(train))
    sets["train"] = [train[i] for i in kept], labels[kept]
    sets["test"] = [example.source for example in known["test"]], known["test"].labels
    random = np.random.default_rng(0)
    halves: list[Any] = []
    for part in ("train", "test"):
        table = datasets.load_dataset(
            "parquet", data_files=str(others / f"{part}-*.parquet"), split="train"
        ).cast_column("image", datasets.Image(decode=False))
        names, labels = table.features["label"].names, np.array(table["label"])
        if not halves:
            order = random.permutation([i for i, n in enumerate(names) if n not in KNOWN])
            halves = [np.sort(order[:49]), np.sort(order[49:])]
        half = halves[part == "test"]
        rows = np.concatenate(
            [random.permutation(np.flatnonzero(labels == c))[: PER_CLASS[part]] for c in half]
        )
        name = "choose" if part == "train" else "report"
        sets[name] = [table[int(i)]["image"]["bytes"] for i in rows], labels[rows]
    files = sorted(groceries.glob("*/*/*.jpg"))
    sets["grocery"] = [thumbnail(file) for file in files], np.zeros(len(files))
    return sets


def thumbnail(file: Path) -> bytes:
    """As the thumbnails of the data were made: a square of 64 px, JPEG of quality 75."""
    content = io.BytesIO()
    ImageOps.fit(Image.open(file).convert("RGB"), (64, 64)).save(content, "JPEG", quality=75)
    return content.getvalue()


Score = Callable[[np.ndarray], np.ndarray]
"""From features (n, D): higher for what is known."""


def scores(W: np.ndarray, b: np.ndarray, x: np.ndarray, labels: np.ndarray) -> dict[str, Score]:
    """Each method in its variants, within (D + 1) × (D + K) numbers."""
    W, b = W - W.mean(0), b - b.mean()
    K, D = W.shape

    def logits(f: np.ndarray) -> np.ndarray:
        return np.asarray(f @ W.T + b)

    found: dict[str, Score] = {
        "maximum probability": lambda f: softmax(logits(f), axis=1).max(1),
        "energy": lambda f: logsumexp(logits(f), axis=1),
    }
    deviations = x - np.stack([x[labels == c].mean(0) for c in range(K)])[labels.astype(int)]
    covariance = deviations.T @ deviations / len(x)
    for shrinkage in (0.01, 0.1, 0.5):
        eye = np.trace(covariance) / D * np.eye(D)
        A = np.linalg.cholesky(np.linalg.inv((1 - shrinkage) * covariance + shrinkage * eye))
        centres = np.stack([x[labels == c].mean(0) for c in range(K)]) @ A

        def mahalanobis(f: np.ndarray, A: np.ndarray = A, m: np.ndarray = centres) -> np.ndarray:
            return -np.asarray(_squares(f @ A, m).min(1))

        found[f"Mahalanobis, shrinkage {shrinkage:g}"] = mahalanobis
    bank = _unit(x[np.random.default_rng(0).permutation(len(x))[: D + K]])
    for k in (1, 5, 10):

        def nearest(f: np.ndarray, k: int = k) -> np.ndarray:
            return -np.asarray(np.partition(_squares(_unit(f), bank), k - 1, axis=1)[:, k - 1])

        found[f"{k} nearest neighbours"] = nearest
    origin = -np.linalg.pinv(W) @ b
    z = x - origin
    vectors = np.linalg.eigh(z.T @ z / len(z))[1]
    for m in (3, 10, 20, 40, D // 2):
        N = vectors[:, : D - m]
        scale = logits(x).max(1).mean() / np.linalg.norm(z @ N, axis=1).mean()

        def vim(f: np.ndarray, N: np.ndarray = N, scale: float = scale) -> np.ndarray:
            outside = np.linalg.norm((f - origin) @ N, axis=1)
            return np.asarray(logsumexp(logits(f), axis=1) - scale * outside)

        found[f"ViM, {'D/2' if m == D // 2 else m} dimensions"] = vim
    return found


def _unit(f: np.ndarray) -> np.ndarray:
    return np.asarray(f / np.linalg.norm(f, axis=1, keepdims=True))


def _squares(f: np.ndarray, g: np.ndarray) -> np.ndarray:
    return np.asarray((f**2).sum(1)[:, None] - 2 * f @ g.T + (g**2).sum(1))


def auroc(known: np.ndarray, other: np.ndarray) -> float:
    """That of telling known images from others by a score."""
    truth = np.repeat([1, 0], [len(known), len(other)])
    return float(roc_auc_score(truth, np.concatenate([known, other])))


def gain(known: Iterable[np.ndarray], other: Iterable[np.ndarray]) -> str:
    """The difference of two scores' AUROC, with the 95 % interval of a paired bootstrap."""
    won, won_by_base = (pairs(a, b) for a, b in zip(known, other, strict=True))
    mean, low, high = resampled(won - won_by_base)
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def pairs(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Which images of the first side are above which of the second; the mean is the AUROC."""
    return np.asarray((high[:, None] > low[None]) + 0.5 * (high[:, None] == low[None]))


def resampled(of_pairs: np.ndarray) -> tuple[float, float, float]:
    """A mean over pairs, and its 95 % interval: a bootstrap of the images of each side."""
    random = np.random.default_rng(0)
    weights = [random.multinomial(n, [1 / n] * n, RESAMPLES) / n for n in of_pairs.shape]
    low, high = np.quantile(((weights[0] @ of_pairs) * weights[1]).sum(1), [0.025, 0.975])
    return float(of_pairs.mean()), float(low), float(high)


def report(classifier: TorchClassifier, found: dict[str, tuple[np.ndarray, np.ndarray]]) -> Any:
    """Print the model's tables; returns each score's gain on the classes to choose by."""
    features = {name: rows.astype(np.float32) for name, (rows, _) in found.items()}
    if not is_calibrated(classifier):
        labels = found["validation"][1].astype(int)
        calibrate_on(classifier, features["train"], features["validation"], labels)
    T = classifier.info.calibration.temperature if classifier.info.calibration else 1
    head = copy.deepcopy(classifier.network.head).cpu().requires_grad_(False)
    W, b = head.weight.double().numpy(), head.bias.double().numpy()
    wide = {name: rows.astype(np.float64) for name, rows in features.items()}
    methods = scores(W, b, wide["train"], found["train"][1])
    values = {
        name: {part: score(wide[part]) for part in wide if part != "train"}
        for name, score in methods.items()
    }
    base = values["maximum probability"]
    print(f"T = {T:.3f}; images: {', '.join(f'{len(r)} {n}' for n, r in features.items())}")
    print("AUROC: validation/choose  test/report  test/grocery; refused at 95 % of validation")
    for name, of in values.items():
        limit = np.quantile(of["validation"], 0.05)
        areas = (
            auroc(of["validation"], of["choose"]),
            *(auroc(of["test"], of[part]) for part in ("report", "grocery")),
        )
        refused = [(of[part] < limit).mean() for part in ("report", "grocery", "test")]
        print(
            *(f"{area:.3f}" for area in areas), *(f"{share:6.1%}" for share in refused), f" {name}"
        )
    for name, of in values.items():
        for part in ("report", "grocery"):
            difference = gain((of["test"], base["test"]), (of[part], base[part]))
            print(f"{part} minus maximum probability: {difference}  {name}")
    unsure = fit_unsure(head, features["train"], features["validation"])
    for part in ("validation", "test", "report", "grocery"):
        y = torch.from_numpy(features[part])
        top = head(y).double().softmax(1).amax(1)
        sure = (top >= unsure.min_probability) & (unsure(y, head(y)) <= unsure.max_distance)
        low, far = top < unsure.min_probability, unsure(y, head(y)) > unsure.max_distance
        shares = (1 - sure.double().mean(), low.double().mean(), far.double().mean())
        print(f"{part}: {shares[0]:.1%} not sure ({shares[1]:.1%} improbable, {shares[2]:.1%} far)")
    chosen = base["validation"], base["choose"]
    return {
        name: auroc(of["validation"], of["choose"]) - auroc(*chosen) for name, of in values.items()
    }


if __name__ == "__main__":
    main()
