"""Every check of the paper that some weights and a dataset allow, into one folder.

What needs more is left out: `parity` needs the other libraries, `course` and `data-size` other
datasets and more time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foodvision.data import Dataset, LabelledImages, load_dataset
from foodvision.data.inventory import take_inventory
from foodvision.errors import DataError, ModelError
from foodvision.evaluation import make_report_folder
from foodvision.files.atomic import replacing, write_json
from foodvision.paper.equations import equations_table, measure_equations
from foodvision.paper.few_shot import evaluate_few_shot
from foodvision.paper.figures import draw_figures
from foodvision.paper.positions import compare_positions, positions_table
from foodvision.paper.table1 import measure_table1, table1
from foodvision.progress import duration
from foodvision.text import to_markdown
from foodvision.weights.source import read_checkpoint

PAGE, NUMBERS = "paper.md", "paper.json"

IMAGES = 128
"""On which attention is measured: as many as in appendix D.7."""


@dataclass(frozen=True)
class Section:
    """One check, done.

    Attributes:
        name: of its command.
        text: its result, for a terminal.
        markdown: the same as a section of a document.
        numbers: the same as plain types.
        seconds: that it took.

    """

    name: str
    text: str
    markdown: str
    numbers: Any
    seconds: float


def check_everything(
    model: str, data: str | Path | Dataset, out: Path, device: str = "auto"
) -> Iterator[Section]:
    """Run each check, and at the end write ``paper.md`` and ``paper.json`` beside the figures.

    Args:
        model: weights; see `read_checkpoint`. Of other networks than a Vision Transformer there
            are no figures.
        data: a dataset, or what `load_dataset` takes.
        out: folder; it is made.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Yields:
        Each section when it is done.

    Raises:
        FoodvisionError: if a check cannot be run, or one fails.

    """
    make_report_folder(out)
    try:
        is_vit = read_checkpoint(model).config.family == "vit"
    except ModelError as error:
        raise ModelError(f"{model}: {error}") from error
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    sections = []
    for name in ("table1", "equations", "figures", "few-shot", "positions"):
        if name == "figures" and not is_vit:
            continue
        began = time.perf_counter()
        text, markdown, numbers = _check(name, model, dataset, out, device)
        sections.append(Section(name, text, markdown, numbers, time.perf_counter() - began))
        yield sections[-1]
    total = duration(sum(section.seconds for section in sections))
    head = f"# The paper, checked\n\n{to_markdown(model)} on {to_markdown(dataset.name)}, {total}"
    parts = [
        f"{section.markdown}\n\n(`foodvision paper {section.name}`, {duration(section.seconds)})"
        for section in sections
    ]
    with replacing(out / PAGE) as path:
        path.write_text("\n\n".join([head, *parts]) + "\n", encoding="utf-8")
    write_json(out / NUMBERS, {section.name: section.numbers for section in sections})


def _check(name: str, model: str, dataset: Dataset, out: Path, device: str) -> tuple[str, str, Any]:
    """The text, the Markdown and the numbers of one check."""
    numbers: Any
    if name == "figures":
        drawn = draw_figures(model, [image.source for image in _some(dataset)], out, device)
        images = "\n\n".join(f"![{file.stem}]({file.name})" for file in drawn.files)
        lines = "\n\n".join(map(to_markdown, drawn.lines()))
        return drawn.summary(), f"## Figures 6 and 7\n\n{lines}\n\n{images}", drawn.to_dict()
    if name == "table1":
        sizes = measure_table1()
        table, numbers = table1(sizes), [size.to_dict() for size in sizes]
    elif name == "equations":
        rows = measure_equations()
        table, numbers = equations_table(rows), [row._asdict() for row in rows]
    elif name == "few-shot":
        few = evaluate_few_shot(model, dataset, device=device)
        table, numbers = few.table(), few.to_dict()
    else:
        outcomes = compare_positions(dataset, device=device)
        table, numbers = positions_table(outcomes), [row.to_dict() for row in outcomes]
    return table.to_text(), table.to_markdown(), numbers


def _some(dataset: Dataset) -> LabelledImages:
    """Up to `IMAGES` images that open, class by class in turn: of test, if there is one."""
    order = ("test", "validation", *dataset.splits)
    images = dataset.splits[next(split for split in order if split in dataset.splits)]
    places = [np.flatnonzero(images.labels == k) for k in np.unique(images.labels)]
    turns = sorted((turn, i) for of_class in places for turn, i in enumerate(of_class.tolist()))
    readable = take_inventory(images.subset([i for _, i in turns[:IMAGES]])).images
    if not len(readable):
        raise DataError(f"{dataset.name}: none of its images can be opened")
    return readable
