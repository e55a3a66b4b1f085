"""Features: what all of a network but its head makes of a picture, computed once and kept on disk.

They are keyed by the weights, by how pictures are prepared and by each picture's own bytes. So
another seed, another split or a few more pictures cost no more than the pictures that are new, and
an interrupted computation goes on where it was.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from foodvision.data.inventory import Inventory
from foodvision.errors import FoodvisionError, ImageError
from foodvision.files import cache_folder, replacing
from foodvision.images import ImageSpec
from foodvision.models import Network
from foodvision.progress import progress_bar
from foodvision.runtime import Precision, autocast, in_batches

log = logging.getLogger(__name__)

SHARD = 2048
"""Pictures whose features are written at a time: the most that a power cut costs."""


class FeatureCache:
    """A folder of features by the SHA-256 of the picture's bytes.

    Each file holds ``sha256``, uint8 of shape (n, 32), and ``features``, float32 of shape (n, D).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> dict[str, np.ndarray]:
        """All that is there: float32 of shape (D,) by SHA-256."""
        found: dict[str, np.ndarray] = {}
        for path in sorted(self.folder.glob("[!.]*.safetensors")):
            try:
                shard = load_file(path)
                found |= zip(
                    (bytes(row).hex() for row in shard["sha256"]), shard["features"], strict=True
                )
            except (OSError, SafetensorError, KeyError, ValueError) as error:
                log.warning("%s: is damaged (%s); its features are computed again", path, error)
                path.unlink(missing_ok=True)
        return found

    def add(self, found: dict[str, np.ndarray]) -> None:
        """Write a file more.

        Raises:
            FoodvisionError: if it cannot be written.

        """
        if not found:
            return
        digests = np.array([list(bytes.fromhex(digest)) for digest in found], dtype=np.uint8)
        name = hashlib.sha256(digests.data).hexdigest()[:16]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.folder / f"{name}.safetensors") as path:
                save_file({"sha256": digests, "features": np.stack(list(found.values()))}, path)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise FoodvisionError(
                f"{self.folder}: features cannot be kept ({reason}); mend that, or set "
                "XDG_CACHE_HOME to another folder"
            ) from error


class Features:
    """What a network makes of pictures."""

    def __init__(
        self, network: Network, spec: ImageSpec, precision: Precision, batch_size: int
    ) -> None:
        """Look up what is there already.

        Args:
            network: in evaluation mode, on the device to compute on; its head does not matter.
            spec: how its pictures are prepared.
            precision: bf16 or float32.
            batch_size: pictures at a time.

        """
        self.network, self.spec = network, spec
        self.precision, self.batch_size = precision, batch_size
        self.device = network.head.weight.device
        key = hashlib.sha256(
            f"{replace(network.config, num_classes=1)} {spec} {precision}".encode()
        )
        for name, tensor in sorted(network.state_dict().items()):
            if not name.startswith("head."):
                key.update(name.encode())
                key.update(tensor.cpu().contiguous().numpy().data)
        self.cache = FeatureCache(cache_folder() / "features" / key.hexdigest()[:32])

    def of(self, inventory: Inventory) -> np.ndarray:
        """The features of each picture, float32 of shape (n, D).

        Raises:
            FoodvisionError: if a picture no longer opens, or the cache cannot be written.

        """
        found = self.cache.read()
        digests = inventory.sha256
        missing = {digest: i for i, digest in enumerate(digests) if digest not in found}
        known = len(set(digests)) - len(missing)
        log.info(
            "features of %s pictures%s", f"{len(digests):,}", f", {known:,} cached" * (known > 0)
        )
        new: dict[str, np.ndarray] = {}
        with progress_bar() as bar:
            task = bar.add_task("features", total=len(missing), unit="pictures", info="")
            sources = (inventory.pictures[i].source for i in missing.values())
            rows = in_batches(self._compute, sources, self.spec, self.device, self.batch_size)
            try:
                for digest, row in zip(missing, rows, strict=True):
                    if isinstance(row, ImageError):
                        raise row
                    new[digest] = row
                    bar.advance(task)
                    if len(new) == SHARD:
                        self.cache.add(new)
                        found |= new
                        new = {}
            finally:  # Ctrl-C too keeps what is there
                self.cache.add(new)
        found |= new
        return np.stack([found[digest] for digest in digests])

    def _compute(self, pixels: torch.Tensor) -> torch.Tensor:
        with autocast(self.precision, self.device):
            return self.network.features(pixels)
