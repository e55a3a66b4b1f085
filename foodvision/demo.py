"""The whole path once: ask the model in the box, train a network on images, measure it.

Two logistic regressions, on small pixels and on colours, are scored beside the classifier: a score
means little without the score of a simple model, least of all on drawings.
"""

from __future__ import annotations

import logging
import warnings
from itertools import chain, count
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from foodvision import drawings
from foodvision.classifier.classifier import Classifier
from foodvision.data import Dataset, LabelledImages, load_dataset
from foodvision.data.food101 import RELEASES
from foodvision.data.load import is_at_hand
from foodvision.errors import DataError
from foodvision.evaluation import evaluate
from foodvision.files.web import WebError, open_url
from foodvision.images import ImageSpec
from foodvision.images.transforms import open_pixels, resize
from foodvision.metrics import RunningMetrics
from foodvision.training.run import train
from foodvision.weights.box import BOX

log = logging.getLogger(__name__)

HISTOGRAM_BINS = 32

PHOTOGRAPHS = "mini20"

PROBE_TIMEOUT = 5.0
"""Seconds for which the server of the photographs may be silent."""


def run_demo(out: Path | None = None, open_app: bool = False, device: str = "auto") -> None:
    """Let the model in the box answer, train on images, print the metrics, write a report.

    The images are the 600 photographs of FoodVision Mini, if they are in the cache or can be
    fetched, else drawings.

    Args:
        out: folder of the run; None for the first unused one of runs/demo, runs/demo-2, …
        open_app: open the app at the end, and block until it is closed.
        device: see `train`.

    """
    answer = Classifier.load(BOX).predict(drawings.draw_image("sushi", seed=0))
    doubt = "" if answer.sure else ", but it is not sure"
    print(f"The model in the box knows photographs. A drawn sushi is {answer.label} to it{doubt}.")
    if photographs := _photographs():
        log.info("Now a network is trained on photographs.")
        dataset, recipe = photographs, "demo_photographs"
    else:
        log.info("Now a network is trained on drawings.")
        dataset, recipe = load_dataset(drawings.NAME), "demo"
    result = train(dataset, recipe, out or _free_folder(Path("runs/demo")), device)
    report = evaluate(result.classifier, dataset)
    page = report.save(result.folder / "report")
    print(report.summary())
    for name, accuracy, log_loss in baselines(dataset):
        print(f"{name}: log loss {log_loss:.4f}, accuracy {accuracy:.1%}")
    print(f"report: {page}")
    print(f"Open the app: foodvision app {result.folder}")
    if open_app:
        from foodvision.apps.classify import launch_app

        launch_app(result.classifier)


def _photographs() -> Dataset | None:
    """None if they cannot be fetched, which the log says."""
    try:
        if not is_at_hand(PHOTOGRAPHS):
            # One short question first: a download is tried again for minutes.
            open_url(RELEASES[PHOTOGRAPHS].file.url, PROBE_TIMEOUT).close()
        return load_dataset(PHOTOGRAPHS)
    except (WebError, DataError) as error:
        log.warning("no photographs of %s: %s", PHOTOGRAPHS, error)
        return None


def baselines(dataset: Dataset) -> list[tuple[str, float, float]]:
    """Name, test accuracy and test log loss of two logistic regressions."""
    pixels = {split: _pixels(images) for split, images in dataset.splits.items()}
    rows = []
    # The best of 0.01, 1 and 100 for each.
    for name, inverse_penalty, features in (
        ("logistic regression on 32×32 pixels", 0.01, lambda x: x.reshape(len(x), -1) / 255),
        ("logistic regression on colour histograms", 100.0, _histograms),
    ):
        model = LogisticRegression(C=inverse_penalty, max_iter=100)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converging to the last digit is fine here
            model.fit(features(pixels["train"]), dataset.splits["train"].labels)
        running = RunningMetrics(dataset.classes)
        logits = model.predict_log_proba(features(pixels["test"]))
        running.update(logits, dataset.splits["test"].labels)
        metrics = running.result()
        rows.append((name, metrics.accuracy, metrics.log_loss))
    return rows


def _pixels(images: LabelledImages) -> np.ndarray:
    spec = ImageSpec(32, "squash")
    return np.stack(
        [
            resize(open_pixels(example.source, spec), 32, 32, spec).permute(1, 2, 0).numpy()
            for example in images
        ]
    )


def _histograms(pixels: np.ndarray) -> np.ndarray:
    """Share of the pixels at each of 32 levels of each channel, shape (n, 96)."""
    edges = np.linspace(0, 256, HISTOGRAM_BINS + 1)
    return np.stack(
        [
            np.concatenate([np.histogram(x[..., c], edges)[0] for c in range(3)]) / x[..., 0].size
            for x in pixels
        ]
    )


def _free_folder(folder: Path) -> Path:
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    return next(path for path in chain([folder], numbered) if not path.exists())
