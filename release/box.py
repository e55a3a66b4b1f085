"""From a run to the model in the box: rounded, exported, measured on what it has not seen.

    .venv/bin/python -m release.box RUN START TEACHER DATA

RUN was trained on the images of DATA/box.csv, which `benchmarks.box_data` wrote; START is the run
of box-big that it began with, TEACHER its teacher's. None of the three has seen an image that
judges the box. DATA holds what `benchmarks.box_data` reads, food101-64px and grocery_10. Replaces
`foodvision/box`; its card has the figures of its files.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from benchmarks.box_data import check_run
from benchmarks.unsure import pairs, resampled
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import load_dataset
from foodvision.data.splits import SPLIT_CSV
from foodvision.deploy.model_files import copy_model, copy_onnx
from foodvision.evaluation import evaluate
from foodvision.export.export import export
from foodvision.training.teacher import load_teacher
from foodvision.weights.box import ABOUT, FOLDER, GRAPHS, NETWORK
from foodvision.weights.repository import CARD, WEIGHTS

MAX_BYTES = 36_000_000

LICENCE, DATASETS = "mit", ["ethz/food101"]

SECTION = """

It ships with foodvision, in `network` with weights in float16 and in `graphs` as an ONNX graph in
int8. Neither holds a photograph. It started from box-big, our network of 101 dishes, trained from
scratch on 90,553 thumbnails of Food-101 (Bossard et al., ECCV 2014), and learnt from 1,701
photographs and 2,206 thumbnails of the three dishes, their own thumbnails among them.

It was measured on images of Food-101 from which neither it nor box-big nor its teacher learnt (but
for one thumbnail, which box-big saw as prime rib); they judged the boxes before it, too, and 23 are
there in both sizes. On thumbnails of other dishes, which validated box-big, and on fruit (Grocery
Store Dataset), every sure answer is wrong. AUROC is how well unfamiliarity alone tells these two
from the images of the first two rows:

| | n | log loss | accuracy (95 % interval) | sure | AUROC (95 % interval) |
|---|---|---|---|---|---|
{rows}

Its weights have foodvision's licence, MIT.

**For** trying foodvision, learning, and as a start for networks of your own. **Not for** decisions
about health: it knows no allergens, no calories and no other dishes. It learnt from photographs
that people shared of restaurant food; some of their labels are wrong. They are for research alone,
and their split is ours: do not compare these figures with published ones, and do not evaluate it on
other images of Food-101, because it or box-big may have learnt from them.
"""


def main() -> None:
    """Write the folder and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("run", "start", "teacher", "data"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    for run in (arguments.run, arguments.start, arguments.teacher):
        check_run(run, arguments.data)
    student = TorchClassifier.load(arguments.run, "cpu")
    teacher = load_teacher(str(arguments.teacher), student.classes, student.spec)
    assert student.info.teacher.sha256 == teacher.info.sha256, "RUN had another teacher"
    with tempfile.TemporaryDirectory() as name:
        rounded, exported, box = Path(name, "rounded"), Path(name, "exported"), Path(name, "box")
        network, graphs = box / NETWORK.name, box / GRAPHS.name
        box.mkdir()
        save_rounded(arguments.run, rounded)
        copy_model(rounded, network)
        export(rounded, ["onnx"], exported, arguments.data / "box.csv", int8=True)
        copy_onnx(exported, graphs)
        for folder in (network, graphs):  # by which `evaluate` warns
            shutil.copyfile(arguments.run / SPLIT_CSV, folder / SPLIT_CSV)
        strange = {
            "other dishes": find_other_dishes(arguments.start, arguments.data),
            "fruit": sorted((arguments.data / "grocery_10").rglob("*.jpg")),
        }
        rows = measure("int8", graphs, arguments.data, strange)
        rows += measure("float16", network, arguments.data, strange)
        print(*rows, sep="\n")
        complete_card(network / CARD, rows)
        size = sum(path.stat().st_size for path in box.rglob("*") if path.is_file())
        print(f"{size / 1e6:.1f} MB")
        assert size <= MAX_BYTES
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.copytree(box, FOLDER)


def complete_card(path: Path, rows: list[str]) -> None:
    """Add the licence, the dataset, the figures and the limits to the card of a run."""
    card = ModelCard(path.read_text(encoding="utf-8"))
    card.data.license, card.data.datasets = LICENCE, DATASETS
    card.text += f"\n{ABOUT}" + SECTION.format(rows="\n".join(rows))
    path.write_text(str(card), encoding="utf-8")


@torch.no_grad()
def save_rounded(run: Path, folder: Path) -> None:
    """Save a run's classifier with weights in float16, which its other files are made for."""
    classifier = TorchClassifier.load(run, "cpu")
    for tensor in classifier.network.state_dict().values():
        tensor.copy_(tensor.half())
    classifier.save(folder)
    weights = {name: tensor.half() for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def find_other_dishes(start: Path, data: Path) -> list[Any]:
    """The thumbnails of dishes that the box does not know, from those that validated its start."""
    with (start / SPLIT_CSV).open(newline="") as file:
        names = {row["name"] for row in csv.DictReader(file) if row["split"] == "validation"}
    known = load_dataset(data / "box.csv").classes
    train = load_dataset(data / "food101-64px").splits["train"]
    classes = [train.classes[label] for label in train.labels]
    named = enumerate(zip(train.names(), classes, strict=True))
    chosen = [i for i, (name, dish) in named if name in names and dish not in known]
    assert chosen, "no name of the split is one of food101-64px"
    return [example.source for example in train.subset(chosen)]


def measure(file: str, model: Path, data: Path, strange: dict[str, list[Any]]) -> list[str]:
    """Rows of the card's table: thumbnails, photographs, and what it does not know."""
    known = {
        "thumbnails": load_dataset(data / "pizza_steak_sushi_64px"),
        "photographs": load_dataset(data / "box.csv"),
    }
    classifier, rows, familiar = Classifier.load(model, "cpu"), [], []
    for name, dataset in known.items():
        report = evaluate(classifier, dataset, "test")
        share, distances = judge(classifier, [example.source for example in dataset.splits["test"]])
        familiar.append(distances)
        low, high = report.accuracy_ci95
        rows.append(
            f"| {file}, {name} | {report.n} | {report.log_loss:.3f} | {report.accuracy:.1%} "
            f"({low:.1%} to {high:.1%}) | {share:.0%} | |"
        )
    near = np.concatenate(familiar)
    for name, sources in strange.items():
        share, far = judge(classifier, sources)
        auroc, low, high = resampled(pairs(far, near))
        rows.append(
            f"| {file}, {name} | {len(far):,} | | | {share:.0%} | {auroc:.3f} "
            f"({low:.3f} to {high:.3f}) |"
        )
    return rows


def judge(classifier: Classifier, sources: list[Any]) -> tuple[float, np.ndarray]:
    """The share of sure answers, and how unfamiliar each image is."""
    assert classifier.limits, "it has not been calibrated"
    rows = list(classifier._judge_many(sources, batch_size=32))
    answers = [bool(classifier._answer("", row).sure) for row in rows]
    return sum(answers) / len(answers), np.array([row[-1] for row in rows])


if __name__ == "__main__":
    main()
