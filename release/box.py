"""From a run to the model in the box: rounded, exported, measured on what it has not seen.

    .venv/bin/python -m release.box RUN DATA

RUN was trained on the images of DATA/box.csv, which `benchmarks.box_data` wrote, and on none of
those that judge the box. DATA holds what that reads, and grocery_10. Replaces `foodvision/box`;
its card has the figures of its files.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from benchmarks.box_data import check_run
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import load_dataset
from foodvision.data.splits import SPLIT_CSV
from foodvision.deploy.model_files import copy_model, copy_onnx
from foodvision.evaluation import evaluate
from foodvision.export.export import export
from foodvision.weights.box import FOLDER, GRAPHS, NETWORK
from foodvision.weights.repository import CARD, WEIGHTS

MAX_BYTES = 36_000_000

ABOUT = """
## The model in the box

It ships with foodvision, in `network` with weights in float16 and in `graphs` as an ONNX graph in
int8. Neither holds a photograph. It started from box-big, a network of ours that was trained from
scratch on 90,553 thumbnails of the 101 dishes of Food-101 (Bossard et al., ECCV 2014). Measured on
images of Food-101 that neither of the two nor the teacher learnt from (but for one thumbnail, which
box-big saw as prime rib), and on fruit (Grocery Store Dataset), where every sure answer is wrong:

| | n | log loss | accuracy (95 % interval) | sure |
|---|---|---|---|---|
{rows}

Its weights have foodvision's licence, MIT.

**For** trying foodvision, learning, and as a start for networks of your own. **Not for** decisions
about health: it knows no allergens, no calories and no other dishes. It learnt from photographs
that people shared of restaurant food; some of their labels are wrong. They are for research alone,
and their split is ours: compare no figure of this table with published ones, and judge it on no
other thumbnail of Food-101, because box-big may have learnt from it.
"""


def main() -> None:
    """Write the folder and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    check_run(arguments.run, arguments.data)
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
        rows = measure("int8", graphs, arguments.data)
        rows += measure("float16", network, arguments.data)
        print(*rows, sep="\n")
        with (network / CARD).open("a", encoding="utf-8") as card:
            card.write(ABOUT.format(rows="\n".join(rows)))
        size = sum(path.stat().st_size for path in box.rglob("*") if path.is_file())
        print(f"{size / 1e6:.1f} MB")
        assert size <= MAX_BYTES
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.copytree(box, FOLDER)


@torch.no_grad()
def save_rounded(run: Path, folder: Path) -> None:
    """Save a run's classifier with weights in float16, which its other files are made for."""
    classifier = TorchClassifier.load(run, "cpu")
    for tensor in classifier.network.state_dict().values():
        tensor.copy_(tensor.half())
    classifier.save(folder)
    weights = {name: tensor.half() for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def measure(file: str, model: Path, data: Path) -> list[str]:
    """Rows of the card's table: thumbnails, photographs, and other things."""
    thumbnails = load_dataset(data / "pizza_steak_sushi_64px")
    photographs = load_dataset(data / "box.csv")
    groceries = sorted((data / "grocery_10").rglob("*.jpg"))
    classifier, rows = Classifier.load(model, "cpu"), []
    for name, dataset in (("thumbnails", thumbnails), ("photographs", photographs)):
        report = evaluate(classifier, dataset, "test")
        sources = [example.source for example in dataset.splits["test"]]
        low, high = report.accuracy_ci95
        rows.append(
            f"| {file}, {name} | {report.n} | {report.log_loss:.3f} | {report.accuracy:.1%} "
            f"({low:.1%} to {high:.1%}) | {sure(classifier, sources):.0%} |"
        )
    share = sure(classifier, groceries)
    return [*rows, f"| {file}, fruit of a grocery | {len(groceries)} | | | {share:.0%} |"]


def sure(classifier: Classifier, sources: list[Any]) -> float:
    """The share of sure answers."""
    answers = [bool(found.sure) for found in classifier.predict_many(sources)]
    return sum(answers) / len(answers)


if __name__ == "__main__":
    main()
