"""A network's features of images, computed once and kept on disk.

Their key is the weights, the preparation of images and its code, the precision, the versions, and
each image's bytes. So another seed or split costs nothing, a few more images cost only themselves,
and an interrupted computation resumes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from foodvision.backends import Precision
from foodvision.backends.device import autocast
from foodvision.backends.torch import in_batches
from foodvision.data.inventory import Inventory
from foodvision.errors import FoodvisionError, ImageError
from foodvision.files.atomic import cache_folder, replacing
from foodvision.images import ImageSpec, decode
from foodvision.models.network import Network
from foodvision.progress import progress_bar
from foodvision.weights.tensors import sha256_of

log = logging.getLogger(__name__)

SHARD = 2048
"""Images whose features are written together: the most that a power cut costs."""


class FeatureCache:
    """A folder of features by the SHA-256 of the image's bytes, shared by processes.

    Each file holds ``sha256``, uint8 of shape (n, 32), and ``features``, float32 of shape (n, D).
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder, before any feature is computed.

        Raises:
            FoodvisionError: if it cannot be written.

        """
        self.folder = folder
        with self._writing():
            pass

    def read(self, wanted: Collection[str]) -> dict[str, np.ndarray]:
        """The features of those images that are in the cache: float32 of shape (D,) by SHA-256."""
        found: dict[str, np.ndarray] = {}
        for path in sorted(self.folder.glob("[!.]*.safetensors")):
            try:
                shard = load_file(path)
                digests = [row.tobytes().hex() for row in shard["sha256"]]
                rows = zip(digests, shard["features"], strict=True)
                found |= {digest: row.copy() for digest, row in rows if digest in wanted}
            except (SafetensorError, KeyError, ValueError) as error:
                log.warning("%s: is damaged (%s); its features will be computed again", path, error)
                path.unlink(missing_ok=True)
            except OSError as error:
                reason = error.strerror or error
                log.warning("%s: cannot be read (%s) and is skipped", path, reason)
        return found

    def add(self, found: dict[str, np.ndarray]) -> None:
        """Write one more file.

        Args:
            found: float32 of shape (D,) by SHA-256; at least one.

        Raises:
            FoodvisionError: if it cannot be written.

        """
        digests = np.array([list(bytes.fromhex(digest)) for digest in found], dtype=np.uint8)
        name = hashlib.sha256(digests.data).hexdigest()[:16]
        with self._writing(), replacing(self.folder / f"{name}.safetensors") as path:
            rows = np.stack(list(found.values()))
            save_file({"sha256": digests, "features": rows}, path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One process at a time: two may have the same features to write, under the same name."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock"):
                yield
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise FoodvisionError(
                f"{self.folder}: features cannot be written ({reason}); fix that, or set "
                "XDG_CACHE_HOME to another folder, then run the same command again"
            ) from error


class Features:
    """The features that a network computes, through the cache."""

    def __init__(
        self, network: Network, spec: ImageSpec, precision: Precision, batch_size: int
    ) -> None:
        """Find the network's features in the cache.

        Args:
            network: in evaluation mode, on the device to compute on.
            spec: how its images are prepared.
            precision: bf16 or float32.
            batch_size: images at a time.

        Raises:
            FoodvisionError: if the cache cannot be written.

        """
        self.network, self.spec = network, spec
        self.precision, self.batch_size = precision, batch_size
        self.device = self.network.head.weight.device
        body = {
            name: tensor
            for name, tensor in self.network.state_dict().items()
            if not name.startswith("head.")
        }
        config = replace(self.network.config, num_classes=1)
        made_by = [version(name) for name in ("foodvision", "torch", "torchvision", "pillow")]
        key = sha256_of(body, config, self.spec, precision, made_by, _image_code())
        self.cache = FeatureCache(cache_folder() / "features" / key[:32])

    def of(self, inventory: Inventory) -> np.ndarray:
        """The features of each image, float32 of shape (n, D).

        Raises:
            FoodvisionError: see `compute`.

        """
        found = self.compute(inventory)
        return np.stack([found[digest] for digest in inventory.sha256])

    def compute(self, inventory: Inventory) -> dict[str, np.ndarray]:
        """The features by SHA-256, computed and cached if they are not in the cache yet.

        Raises:
            FoodvisionError: if an image no longer opens, a feature is not finite, or the cache
                cannot be written.

        """
        found = self.cache.read(set(inventory.sha256))
        missing = {digest: i for i, digest in enumerate(inventory.sha256) if digest not in found}
        total = len(found) + len(missing)
        log.info("features of %d images, %d of them cached", total, len(found))
        new: dict[str, np.ndarray] = {}
        with progress_bar() as bar:
            task = bar.add_task("features", total=len(missing), unit="images", info="")
            sources = (inventory.images[i].source for i in missing.values())
            rows = in_batches(self._compute, sources, self.spec, self.device, self.batch_size)
            try:
                for digest, row in zip(missing, rows, strict=True):
                    if isinstance(row, ImageError):
                        raise row
                    if not np.isfinite(row).all():
                        raise FoodvisionError(
                            "the network's features are not finite numbers: its weights are damaged"
                        )
                    found[digest] = new[digest] = row
                    bar.advance(task)
                    if len(new) == SHARD:
                        self.cache.add(new)
                        new = {}
            finally:  # after Ctrl-C as well
                if new:
                    self.cache.add(new)
        return found

    def _compute(self, pixels: torch.Tensor) -> torch.Tensor:
        with autocast(self.precision, self.device):
            return self.network.features(pixels)


@cache
def _image_code() -> str:
    """SHA-256 of the code that opens and prepares images: when it changes, features may too."""
    digest = hashlib.sha256()
    for file in sorted(Path(decode.__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
