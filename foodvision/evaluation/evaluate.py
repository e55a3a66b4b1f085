"""Scores a classifier on one split of a dataset: images and labels in, a `Report` out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foodvision.backends import Precision
from foodvision.classifier.classifier import Classifier
from foodvision.data import Dataset, LabelledImages, load_dataset, training_splits
from foodvision.data.dataset import FLAT, split_of
from foodvision.errors import DataError, FoodvisionError, ImageError
from foodvision.evaluation.report import Report
from foodvision.evaluation.scores import ScoredImage, Source, Uncalibrated
from foodvision.evaluation.seen import HashedFile, copies_in, read_seen
from foodvision.metrics import RunningMetrics, log_loss_of_each, probabilities
from foodvision.progress import progress_bar

log = logging.getLogger(__name__)


def evaluate(
    classifier: Classifier | str | Path,
    data: str | Path | Dataset,
    split: str | None = None,
    batch_size: int = 32,
    precision: Precision | None = None,
) -> Report:
    """Score a classifier.

    Images that the model was trained on are recognised by their content if its folder is that of a
    run; the report then has the metrics of the others as well.

    Args:
        classifier: or what `Classifier.load` takes; its class names must include the dataset's.
        data: a dataset, or what `load_dataset` takes.
        split: ``train``, ``validation``, ``test`` or ``all``. None chooses the test split, or all
            images of a flat folder. If the dataset has no validation split, ``validation`` is the
            one that the classifier's training carved out of ``train``.
        batch_size: images at a time; does not change the result.
        precision: ``float32``; ``bf16``, which is faster on some devices and changes the third
            digit of a log loss; or ``auto``, the faster of the two. Head and softmax always run
            in float32. None is float32, or of an exported classifier its graph's.

    Raises:
        DataError: if the split does not exist, the model lacks a class, or no image can be opened.
        FoodvisionError: if a graph is to run in another precision than its own.
        ModelError: if there is no such model.

    """
    if not isinstance(classifier, Classifier):
        classifier = Classifier.load(classifier)
    computed = _precision(classifier, precision)
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    dataset = _restricted(dataset, classifier)
    name, images = _choose(dataset, classifier, split)
    images = images.relabelled(classifier.classes)
    seen = read_seen(classifier.folder)
    if split is None and name == FLAT and seen is None:
        log.warning(
            "%s has no test split: scoring all images; the result is too good if the model was "
            "trained on any of them",
            dataset.name,
        )
    log.info("evaluating on %s of %s: %d images", name, dataset.name, len(images))

    running, unseen, before = (RunningMetrics(classifier.classes) for _ in range(3))
    calibration = classifier.info.calibration
    sha256: dict[str, bytes] = {}
    scored: list[ScoredImage] = []
    positions: list[int] = []
    unreadable: list[str] = []
    with progress_bar() as bar:
        task = bar.add_task("evaluating", total=len(images), unit="images", info="")
        sources: Iterator[Any] = (HashedFile(example, sha256) for example in images)
        results = classifier.logits(sources, batch_size, precision or "float32")
        rows = zip(images.names(), images.labels, results, strict=True)
        for position, (image, label, logits) in enumerate(rows):
            bar.advance(task)
            if isinstance(logits, ImageError):
                unreadable.append(f"{image}: {logits.reason}")
                continue
            running.update(logits[None], label[None])
            if calibration:
                before.update(
                    logits[None].astype(np.float64) * calibration.temperature, label[None]
                )
            was_in = seen.get(sha256[image], "") if seen else ""
            if not was_in:
                unseen.update(logits[None], label[None])
            scored.append(_scored(image, int(label), logits, classifier.classes, was_in))
            positions.append(position)
    if unreadable:
        log.warning(
            "%d of %d images cannot be opened and are not scored; the first is %s",
            len(unreadable),
            len(images),
            unreadable[0],
        )
    if not scored:
        raise DataError(f"{dataset.name}: none of its {len(images)} images can be opened")
    _warn_of_two_classes(scored, sha256)
    train = dataset.splits.get("train")
    if seen is None and name == "test" and train and not train.stream:  # which would be read
        _warn_of_copies(train, images, sha256.values())
    splits = Counter(image.seen for image in scored)
    report = Report(
        **vars(running.result()),
        data=dataset.name,
        split=name,
        unreadable=unreadable,
        trained_on=None if seen is None else splits["train"],
        chosen_by=None if seen is None else splits["validation"],
        unseen=unseen.result() if seen is not None and splits[""] else None,
        uncalibrated=_uncalibrated(calibration.temperature, before) if calibration else None,
        images=scored,
        source=Source(
            images.subset(positions),
            classifier.folder,
            classifier.config.description,
            classifier.info,
            computed,
            classifier.backend,
        ),
    )
    if overlap := report.overlap():
        log.warning(
            "the model was %s of these %d images: the result is too good", overlap, report.n
        )
    return report


def _precision(classifier: Classifier, asked: Precision | None) -> str:
    """What the scores are computed in; a graph has a precision of its own."""
    _, _, own = classifier.backend.partition("/")
    if own:
        if asked not in (None, "auto", own):
            raise FoodvisionError(
                f"precision {asked}: the exported graph {classifier.backend} is computed in {own}; "
                "choose another graph with --backend"
            )
        return own
    from foodvision.backends.device import choose_device, decide_precision

    return decide_precision(asked or "float32", choose_device(classifier.device_type))


def _restricted(dataset: Dataset, classifier: Classifier) -> Dataset:
    """Without the classes that the training left out on purpose."""
    recipe = classifier.info.recipe
    if recipe.get("classes") or recipe.get("exclude_classes"):
        log.warning(
            "the model was trained on %d of %d classes: only images of these are scored",
            len(classifier.classes),
            len(dataset.classes),
        )
        known = [name for name in dataset.classes if name in classifier.classes]
        return dataset.restricted(known)
    return dataset


def _choose(
    dataset: Dataset, classifier: Classifier, split: str | None
) -> tuple[str, LabelledImages]:
    splits = dataset.splits
    if split:
        split = split_of(split) or split
    if split is None:
        split = next((name for name in ("test", FLAT) if name in splits), None)
        if split is None:
            raise DataError(
                f"{dataset.name}: has no test split; choose --split {' or '.join(splits)}"
            )
    if split in splits:
        return split, splits[split]
    if split == FLAT:
        return split, dataset.all_images()
    recipe = classifier.info.recipe
    if split in ("train", "validation") and recipe and ("train" in splits or FLAT in splits):
        seed, fraction = recipe["seed"], recipe["validation_fraction"]
        carved = training_splits(dataset, seed, fraction, recipe.get("fraction", 1.0))
        return split, (carved.train if split == "train" else carved.validation).images
    raise DataError(
        f"{dataset.name}: has no split {split}; it has {', '.join(dict.fromkeys([*splits, FLAT]))}"
    )


def _scored(
    name: str, label: int, logits: np.ndarray, classes: tuple[str, ...], seen: str
) -> ScoredImage:
    loss = float(log_loss_of_each(logits[None], np.array([label]))[0])
    shares = probabilities(logits[None])[0]
    best = int(shares.argmax())
    return ScoredImage(
        name, classes[label], classes[best], float(shares[best]), loss, seen, tuple(shares.tolist())
    )


def _uncalibrated(temperature: float, before: RunningMetrics) -> Uncalibrated:
    metrics = before.result()
    return Uncalibrated(temperature, metrics.log_loss, metrics.ece, metrics.reliability)


def _warn_of_copies(train: LabelledImages, test: LabelledImages, sha256: Collection[bytes]) -> None:
    """Log how many test images are among the dataset's training images as well."""
    if copies := copies_in(train, test, sha256):
        log.warning(
            "identical images in test and in train: %d of %d; the result is too good if the model "
            "was trained on them",
            copies,
            len(test),
        )


def _warn_of_two_classes(scored: Iterable[ScoredImage], sha256: Mapping[str, bytes]) -> None:
    """Log how many images have the bytes of an image of another class."""
    first: dict[bytes, ScoredImage] = {}
    pairs = [
        (other, image)
        for image in scored
        if (other := first.setdefault(sha256[image.name], image)).true != image.true
    ]
    if pairs:
        log.warning(
            "identical images under two classes: %d; the first is %s and %s",
            len(pairs),
            *(image.name for image in pairs[0]),
        )
