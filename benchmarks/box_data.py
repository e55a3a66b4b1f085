"""Which photographs the model in the box may learn from: none of those that judge it.

    .venv/bin/python -m benchmarks.box_data DATA DATA/box.csv [--runs RUN …]

DATA, a copy of the photographs, holds pizza_steak_sushi_full, whose training images these are, and
what judges the box: the test thumbnails of pizza_steak_sushi_64px and the photographs of
natural_test_clean.txt. A thumbnail has the number of its photograph, so box.csv lists the training
images whose number judges nothing, and the training thumbnails. The box starts from weights that
learnt from these thumbnails: photographs without one are for validation. The test split of box.csv
are the photographs that judge it. Each RUN, of a student, a teacher or what one started from, is
checked against what judges the box by numbers and by bytes. Food-101 holds a few photographs twice,
under two numbers; see `TWINS`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from os.path import relpath
from pathlib import Path

TWINS = {"steak/97656"}
"""Test thumbnails that judge nothing: train[59057] of food101-64px, a prime rib, is the same."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--runs", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    judges = {photograph(str(path)) for path in find_judges(arguments.data)}
    thumbnails = sorted(arguments.data.glob("pizza_steak_sushi_64px/train/*/*.jpg"))
    pretrained = {photograph(str(path)) for path in thumbnails}
    images = sorted(arguments.data.glob("pizza_steak_sushi_full/train/*/*.jpg"))
    kept = [path for path in images if photograph(str(path)) not in judges | TWINS]
    unseen = [path for path in kept if photograph(str(path)) not in pretrained]
    test = find_photographs(arguments.data)
    assert not pretrained & {photograph(str(path)) for path in test}
    learnt = [path for path in kept if path not in unseen]
    splits = {"train": [*learnt, *thumbnails], "validation": unseen, "test": test}
    with arguments.out.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "split"))
        for split, paths in splits.items():
            for path in paths:
                table.writerow((relpath(path, arguments.out.parent), path.parent.name, split))
    print(
        f"{arguments.out}: {len(kept):,} of {len(images):,} photographs, {len(unseen)} of them to "
        f"validate; {len(thumbnails):,} thumbnails"
    )
    for run in arguments.runs:
        check_run(run, arguments.data)


def find_judges(data: Path) -> list[Path]:
    """The images that judge the box."""
    thumbnails = list(data.glob("pizza_steak_sushi_64px/test/*/*.jpg"))
    thumbnails = [path for path in thumbnails if photograph(str(path)) not in TWINS]
    assert len(thumbnails) == 374
    return thumbnails + find_photographs(data)


def find_photographs(data: Path) -> list[Path]:
    """The photographs that judge the box, larger than thumbnails."""
    clean = (data / "natural_test_clean.txt").read_text().split()
    photographs = [data / "pizza_steak_sushi_full/test" / name for name in clean]
    assert len(photographs) == 97
    assert all(path.exists() for path in photographs)
    return photographs


def check_run(run: Path, data: Path) -> None:
    """Fail if a run has seen an image that judges the box."""
    judges = find_judges(data)
    names, contents = {photograph(str(path)) for path in judges}, {digest(path) for path in judges}
    with (run / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    seen = [row["name"] for row in rows if photograph(row["name"]) in names]
    seen += [row["name"] for row in rows if row["sha256"] in contents]
    print(f"{run}: {len(rows):,} images, {len(seen)} of them judge the box")
    assert not seen, seen[:5]


def photograph(name: str) -> str:
    """Class and number, as in ``pizza/1001116``; a name without a number is itself."""
    path = Path(name)
    return f"{path.parent.name}/{path.stem}"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
