"""A classifier that was exported: a graph with its own preprocessing, which needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from foodvision.backends import Precision
from foodvision.backends.fastest import open_fastest
from foodvision.backends.graph import Graph
from foodvision.backends.runs import THREADS, graph_file, open_graph, weights_file
from foodvision.bounds import check_whole
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.info import Export, ModelInfo
from foodvision.errors import FoodvisionError, ImageError, ModelError
from foodvision.images.decode import ImageSource
from foodvision.images.pixels import read_pixels
from foodvision.images.spec import ImageSpec
from foodvision.models.config import NetworkConfig
from foodvision.prefetch import prefetch
from foodvision.text import list_names, printable
from foodvision.weights.repository import (
    CONFIG,
    check_distinct,
    class_names,
    image_spec,
    network_config,
    read_json,
)


class ExportedClassifier(Classifier):
    """The graphs of an exported folder.

    Attributes:
        run: which of its graphs is used, as in ``openvino/int8``.

    """

    def __init__(
        self,
        folder: Path,
        run: str,
        graph: Graph,
        spec: ImageSpec,
        classes: tuple[str, ...],
        info: ModelInfo,
        export: Export,
        config: NetworkConfig,
    ) -> None:
        self.folder: Path = folder
        self.run, self._graph = run, graph
        self.spec, self.classes, self.info = spec, classes, info
        self._export, self._config = export, config

    @classmethod
    def read(cls, folder: Path, run: str | None = None) -> ExportedClassifier:
        """Read an exported folder.

        Args:
            folder: that `foodvision.export` wrote.
            run: which graph; None for the fastest here.

        Raises:
            MissingExtraError: if nothing that runs it is installed.
            ModelError: if it has no such graph, or a file is missing or damaged.

        """
        config = read_json(folder / CONFIG)
        classes = class_names(config) or ()
        check_distinct(classes)
        export = Export.from_config(config)
        spec, network = image_spec(folder, config), network_config(config, len(classes))
        info = ModelInfo.from_config(config)
        if run is None:
            run, graph = open_fastest(folder, (folder / CONFIG).read_bytes(), export.runs)
        elif run in export.runs:
            graph = open_graph(folder, run, THREADS)
        else:
            raise ModelError(f"has no backend {run}, only {', '.join(export.runs)}")
        return cls(folder, run, graph, spec, classes, info, export, network)

    def __repr__(self) -> str:
        """One line: the graph, its input and its classes."""
        return printable(
            f"Classifier({self.run} of {self.config.description}; {self.spec.height} × "
            f"{self.spec.width} px; {len(self.classes)} classes: {list_names(self.classes)})"
        )

    @property
    def config(self) -> NetworkConfig:
        """Which network it was."""
        return self._config

    @property
    def backend(self) -> str:
        """The same as `run`."""
        return self.run

    @property
    def device_type(self) -> str:
        """Always ``cpu``."""
        return "cpu"

    @property
    def limits(self) -> tuple[float, float] | None:
        """The lowest probability and the largest distance of a sure answer, once calibrated."""
        return self._export.limits.get(self.run)

    def to(self, device: str) -> ExportedClassifier:
        """Nothing to move; any other device than the CPU is an error."""
        if device not in ("auto", "cpu"):
            raise FoodvisionError(f"--device {device}: exported models run on the CPU")
        return self

    def num_bytes(self) -> int:
        """Of the graph and its weights."""
        graph = graph_file(self.folder, self.run, "image")
        return graph.stat().st_size + weights_file(graph).stat().st_size

    def logits(
        self,
        sources: Iterable[ImageSource],
        batch_size: int = 32,
        precision: Precision = "float32",
    ) -> Iterator[Float[np.ndarray, " K"] | ImageError]:
        """See `Classifier.logits`; `precision` is that of the graph."""
        rows = self._judge_many(sources, batch_size)
        return (row if isinstance(row, ImageError) else row[:-1] for row in rows)

    def judge(self, pixels: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, " K1"]:
        """What `predict` computes of an image's pixels, which the graph itself prepares.

        Returns:
            Logits and, in the last place, how unfamiliar the image is (0 if that is unknown).

        """
        return _run(self._graph, pixels)

    def _judge(self, source: ImageSource) -> Float[np.ndarray, " K1"]:
        return self.judge(read_pixels(source, self.spec))

    def _judge_many(
        self, sources: Iterable[ImageSource], batch_size: int
    ) -> Iterator[Float[np.ndarray, " K1"] | ImageError]:
        """All cores compute the first image; then each has images of its own, and none waits."""
        check_whole("batch_size", batch_size, 1, 1_000_000)

        def judged(graph: Graph, source: ImageSource) -> np.ndarray | ImageError:
            try:
                return _run(graph, read_pixels(source, self.spec))
            except ImageError as error:
                return error

        def rows() -> Iterator[np.ndarray | ImageError]:
            remaining = iter(sources)
            for source in islice(remaining, 1):
                yield judged(self._graph, source)
            for source in remaining:  # a single image does not wait for another graph
                others = partial(judged, self._graph_of_one_core)
                with closing(prefetch(others, chain([source], remaining), batch_size)) as results:
                    yield from results

        return rows()

    @cached_property
    def _graph_of_one_core(self) -> Graph:
        return open_graph(self.folder, self.run, 1)


def _run(graph: Graph, pixels: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, " K1"]:
    row = graph(pixels[None])
    if not np.isfinite(row).all():
        raise ModelError("the graph's logits are not finite numbers: its weights are damaged")
    return row
