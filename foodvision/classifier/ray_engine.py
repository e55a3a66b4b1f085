"""Predictions on Ray Data: blocks of names go out to a cluster, predictions come back in order.

One actor per GPU, or per group of cores, loads the model and answers whole blocks. Only the process
that the user started lists images and writes rows, so their order, the table, and how an
interrupted run is resumed are those of the embedded engine. If an actor dies, Ray starts it again
and repeats its blocks, of which no row has been written.
"""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from foodvision.classifier.classifier import Classifier
from foodvision.classifier.predict import Prediction
from foodvision.errors import DataError, FoodvisionError, MissingExtraError
from foodvision.images.decode import ImageSource
from foodvision.rows.row import name_of
from foodvision.text import to_json

BATCHES = 16
"""Of a block: what an actor computes at a time, and computes again if it dies."""

STORE_BYTES = 256 << 20
"""For names and predictions in a cluster that is started here; Ray puts more on disk."""


def check_ray() -> None:
    """Raise `MissingExtraError` if Ray is not installed."""
    if not find_spec("ray"):
        raise MissingExtraError("--engine ray", "ray")


def predict_on_ray(
    model: str,
    device: str,
    backend: str,
    sources: Iterable[ImageSource],
    batch_size: int,
    threshold: float | None,
) -> Iterator[Prediction]:
    """As `Classifier.predict_many`, computed by the running Ray cluster, or by one started here.

    Args:
        model: see `Classifier.load`; each machine loads it itself.
        device: of the actors: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        backend: see `Classifier.backend`.
        sources: paths and addresses that every machine of the cluster can open; their names, about
            100 bytes each, are kept in Ray's store.
        batch_size: images at a time.
        threshold: see `Classifier.predict_many`.

    Raises:
        DataError: if a source is an image in memory.
        FoodvisionError: if the cluster cannot be reached or has no such device, if Ray fails, or
            what `predict_many` raises.

    """
    import pyarrow as pa

    names = map(_encoded, sources)
    size = BATCHES * batch_size  # whole batches, so that their images are those of one process
    blocks = []
    while block := list(islice(names, size)):
        blocks.append(pa.table({"name": pa.array(block, pa.binary())}))
    if device == "auto" and backend != "torch":
        device = "cpu"  # where exported graphs run
    with _cluster() as ray:
        actors = plan_actors([node["Resources"] for node in ray.nodes() if node["Alive"]], device)
        given = (model, actors.device, backend, Path.cwd())
        rows = ray.data.from_blocks(blocks).map_batches(  # from_arrow would start a task for each
            _Actor,
            fn_constructor_args=(*given, batch_size, threshold),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=min(actors.number, len(blocks))),
            num_cpus=actors.cores,
            num_gpus=actors.gpus,
        )
        del blocks
        for answered in rows.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in answered["row"].to_pylist():
                yield Prediction(**json.loads(row))


class Actors(NamedTuple):
    """How many there are, where they compute, and what each of them has."""

    number: int
    device: str
    cores: int
    gpus: int


def plan_actors(machines: Sequence[Mapping[str, float]], device: str) -> Actors:
    """One actor per GPU, or per as many cores as the smallest machine has.

    Args:
        machines: the resources ``CPU`` and ``GPU`` of each, as Ray calls them.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        FoodvisionError: if there is no such device.

    """
    gpus = sum(int(machine.get("GPU", 0)) for machine in machines)
    if device == "cuda" or (device == "auto" and gpus):
        if not gpus:
            raise FoodvisionError("--device cuda: the Ray cluster has no GPU")
        return Actors(gpus, "cuda", 1, 1)
    cores = [int(machine.get("CPU", 0)) for machine in machines if machine.get("CPU", 0) >= 1]
    if not cores:
        raise FoodvisionError("--engine ray: the Ray cluster has no CPU")
    group = min(cores)
    return Actors(
        sum(own // group for own in cores), "cpu" if device == "auto" else device, group, 0
    )


class _Actor:
    """Loads the model for its first block: an error there reaches the user as it is."""

    def __init__(
        self,
        model: str,
        device: str,
        backend: str,
        folder: Path,
        batch_size: int,
        threshold: float | None,
    ) -> None:
        with suppress(OSError):  # another machine's paths are absolute
            os.chdir(folder)
        self._model = (model, device, backend)
        self._options = (batch_size, threshold)

    @cached_property
    def _classifier(self) -> Classifier:
        return Classifier.load(*self._model)

    def __call__(self, block: Any) -> Any:
        """From a column of names to one of predictions, in JSON."""
        import pyarrow as pa

        sources = map(os.fsdecode, block["name"].to_pylist())
        predictions = self._classifier.predict_many(sources, *self._options)
        return pa.table({"row": [to_json(row.to_dict()) for row in predictions]})


def _encoded(source: ImageSource) -> bytes:
    if not isinstance(source, str | Path):
        raise DataError("--engine ray: takes paths and addresses; leave it out for one image")
    return os.fsencode(name_of(source))


@contextmanager
def _cluster() -> Iterator[Any]:
    """The module ray, connected to the running cluster or to one that ends with the `with`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would send reports
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # or each run logs a harmless error
    # Standard output is for rows: Ray would say there that a worker died, which it mends itself.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
    import ray
    import ray.data
    from ray.data.exceptions import ExecutionTimeoutError
    from ray.exceptions import RayError

    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):  # that of its log file stays
            handler.setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.raise_original_map_exception = True
    context.enable_progress_bars = False
    try:
        _connect(ray)
        yield ray
    except (RayError, ExecutionTimeoutError) as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, FoodvisionError):
            raise cause from error
        reason = (str(cause or error).strip() or type(error).__name__).splitlines()[0]
        raise FoodvisionError(f"--engine ray: {reason}") from error
    finally:
        ray.shutdown()


def _connect(ray: Any) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError as error:
        if address := os.environ.get("RAY_ADDRESS"):
            reason = "no Ray cluster answers there"
            raise FoodvisionError(f"RAY_ADDRESS={address}: {reason}") from error
        _start(ray, quiet)
    except RuntimeError as error:  # such as another version of Ray or Python
        raise FoodvisionError(f"--engine ray: {error}") from error
    finally:
        signal.signal(signal.SIGTERM, handler)  # Ray's own would end without cleaning up


def _start(ray: Any, quiet: Mapping[str, Any]) -> None:
    try:
        ray.init(include_dashboard=False, object_store_memory=STORE_BYTES, **quiet)
    except Exception as error:  # of no class of its own
        raise FoodvisionError(f"--engine ray: Ray does not start here ({error})") from error
