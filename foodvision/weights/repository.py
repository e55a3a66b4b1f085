"""A model repository: a folder with config.json and model.safetensors, here or on the Hub.

transformers and timm write such folders, and so does `Classifier.save`. What config.json says about
the network, its images and its classes is read here, without torch.
"""

from __future__ import annotations

import logging
import re
import reprlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foodvision.bounds import check_sides, check_whole
from foodvision.errors import ModelError
from foodvision.files import read
from foodvision.files.digest import sha256_of_file
from foodvision.images.spec import MAX_SIDE, ImageSpec
from foodvision.models.config import MAX_CLASSES, NetworkConfig, ViTConfig
from foodvision.models.library_config import LibraryConfig
from foodvision.text import is_hub_id
from foodvision.weights.box import BOX, NETWORK
from foodvision.weights.from_transformers import from_transformers_config

CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"

CARD = "README.md"
"""Which names the licence."""

UNSURE = "unsure.safetensors"
"""What tells when a classifier is not sure; only a calibrated one has it."""

DAMAGES = (KeyError, AttributeError, TypeError, ValueError, ArithmeticError)
"""What reading a damaged description can raise."""

MAX_HEADER_BYTES = 10_000_000
"""Of a .safetensors file: the names and shapes of 100,000 tensors."""


@contextmanager
def _without_retries_in_the_log() -> Iterator[None]:
    """Without a network the Hub's client logs two lines for each attempt; one error follows."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def find_model(model: str | Path) -> Path:
    """The folder of a model: itself, that of a Hub id, or that of the network of `BOX`.

    Raises:
        ModelError: as `find_repository` does.

    """
    if model == BOX:
        return NETWORK
    return Path(model) if Path(model).is_dir() else find_repository(str(model))


def find_repository(
    model: str,
    needed: Sequence[str] = (CONFIG, WEIGHTS),
    optional: Sequence[str] = (PREPROCESSOR, UNSURE, CARD),
    revision: str = "main",
) -> Path:
    """The folder of a Hub id ``OWNER/NAME`` in the Hub's own cache, downloaded if it is missing.

    Args:
        model: the id.
        needed: names of files, for the message of an error; they may be missing nevertheless.
        optional: names of further files.
        revision: a commit, branch or tag.

    Raises:
        ModelError: giving the files, their address and what to do with them.

    """
    if not is_hub_id(model) or Path(model).exists():
        raise ModelError("no such model folder; train one, or give a Hub id OWNER/NAME")
    from huggingface_hub import constants, snapshot_download

    try:
        wanted = [*needed, *optional]
        with _without_retries_in_the_log():
            folder = Path(snapshot_download(model, allow_patterns=wanted, revision=revision))
            if "export" in (read_json(folder / CONFIG).get("foodvision") or {}):
                graphs = ["onnx/*", "openvino/*"]
                snapshot_download(model, allow_patterns=graphs, revision=revision)
    except ModelError:  # of its config.json
        raise
    except Exception as error:  # the Hub's own, httpx's and the system's
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"no such folder, and it cannot be downloaded from the Hub ({reason}); where there is "
            f"a network, download {', '.join(needed)} and, if they are there, "
            f"{', '.join(optional)} from {constants.ENDPOINT}/{model}"
            f"{'' if revision == 'main' else f'/tree/{revision}'} into a folder, and give that "
            "folder"
        ) from error
    for name in wanted:
        _verify(folder / name)
    return folder


def _verify(path: Path) -> None:
    """The Hub's cache names a large file after its SHA-256 but checks only its size."""
    content = path.resolve()
    if not re.fullmatch(r"[0-9a-f]{64}", content.name):
        return
    found = sha256_of_file(content)
    if found != content.name:
        content.unlink()
        raise ModelError(
            f"{path.name} from the Hub is damaged (SHA-256 {found}, not {content.name}) and was "
            "removed; try again"
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        ModelError: if the file is missing or does not hold one, or it holds NaN or a key twice.

    """
    try:
        content = read.read_json(path)
    except FileNotFoundError as error:
        raise ModelError(f"not a model folder: it has no {path.name}") from error
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ModelError(f"{path.name} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path.name} is not a JSON object")
    return content


def check_safetensors(path: Path) -> None:
    """Check what the library does not, before it opens a file.

    Raises:
        OSError: if it is not a regular file, or cannot be read.
        ValueError: if its header is larger than `MAX_HEADER_BYTES`.

    """
    with read.open_regular(path) as file:
        size = int.from_bytes(file.read(8), "little")
    if size > MAX_HEADER_BYTES:
        raise ValueError(f"its header has {size:,} bytes; at most {MAX_HEADER_BYTES:,} are read")


def image_spec(folder: Path, config: dict[str, Any]) -> ImageSpec:
    """How images are prepared for a model that transformers or foodvision wrote.

    Raises:
        ModelError: if the description is missing or damaged.

    """
    parse: Callable[[Any], ImageSpec] = ImageSpec.from_preprocessor_config
    own = config.get("foodvision")
    if isinstance(own, dict) and "image_spec" in own:
        content, parse, where = own["image_spec"], ImageSpec.from_dict, f"{CONFIG}: image_spec"
    else:
        content, where = read_json(folder / PREPROCESSOR), PREPROCESSOR
    try:
        return parse(content)
    except DAMAGES as error:
        raise ModelError(f"{where}: {explain(error)}") from error


def class_names(config: dict[str, Any]) -> tuple[str, ...] | None:
    """Class names in the order of the logits; None if config.json has none.

    Raises:
        ModelError: if they are not strings that are numbered 0, 1, 2, ...

    """
    if "id2label" not in config:
        return None
    names = config["id2label"]
    if not names or not isinstance(names, dict) or set(names) != set(map(str, range(len(names)))):
        raise ModelError(f"{CONFIG}: id2label must name the classes 0, 1, 2, ...")
    ordered = tuple(names[str(i)] for i in range(len(names)))
    for i, name in enumerate(ordered):
        if not isinstance(name, str):
            raise ModelError(f"{CONFIG}: id2label names class {i} {reprlib.repr(name)}, not a text")
        try:
            name.encode("utf-8", "surrogateescape")  # JSON can hold what no file can
        except UnicodeEncodeError as error:
            raise ModelError(f"{CONFIG}: id2label names class {i} {name!r}, not a text") from error
    return ordered


def check_distinct(classes: Sequence[str]) -> None:
    """Check the class names of a classifier, whose answers are by name.

    Published models are not all free of this: ImageNet has two kinds of crane. As pretrained
    weights they can be used nevertheless.

    Raises:
        ModelError: if two classes have the same name.

    """
    numbers: dict[str, int] = {}
    for i, name in enumerate(classes):
        if (first := numbers.setdefault(name, i)) != i:
            raise ModelError(
                f"classes {first} and {i} are both called {name!r}; give each its own name "
                f"(id2label in {CONFIG})"
            )


def network_config(config: dict[str, Any], num_classes: int) -> NetworkConfig:
    """The network that config.json describes, in transformers' format or ours.

    Args:
        config: the content of config.json.
        num_classes: K, which transformers' format does not state.

    Raises:
        ModelError: naming a value that is damaged or not supported.

    """
    model_type = config.get("model_type")
    if model_type not in ("vit", "dinov2", "foodvision"):
        registers = str(model_type).endswith("with_registers")
        reason = ": registers are tokens that the paper's network does not have"
        raise ModelError(
            f"{CONFIG}: model_type {reprlib.repr(model_type)} is not supported"
            f"{reason if registers else ''}"
        )
    network: NetworkConfig
    try:
        if model_type == "foodvision" or "network" in config:  # an export's type is another
            network = _own_config(config["network"])
        else:
            network = from_transformers_config(config, num_classes)
        check_sides("image_size", network.input_size, MAX_SIDE)
        check_whole("num_classes", network.num_classes, 1, MAX_CLASSES)
        if (channels := getattr(network, "num_channels", 3)) != 3:
            raise ValueError(f"num_channels {channels} is not supported: images have 3")
        return network
    except DAMAGES as error:
        raise ModelError(f"{CONFIG}: {explain(error)}") from error


def _own_config(values: dict[str, Any]) -> NetworkConfig:
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    if "name" not in values:
        return ViTConfig(**values)
    if not isinstance(name := values["name"], str) or len(name) > 100:
        raise ValueError(f"name must be that of a network, not {reprlib.repr(name)}")
    return LibraryConfig(**values)


def explain(error: Exception) -> str:
    """One line about a file that lacks a value, or has a wrong one."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return str(error) if isinstance(error, ValueError) else f"a value is wrong ({error})"
