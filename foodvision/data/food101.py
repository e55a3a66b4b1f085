"""FoodVision Mini (pizza, steak and sushi; 10 % or 20 % of Food-101) and Big (all 101 classes).

The course's zips of Mini and the authors' archive of Food-101 are fetched, verified and written
as ``train/CLASS/*.jpg`` and ``test/CLASS/*.jpg``; Mini can also be cut from a local Food-101.
Food-101 is Bossard, Guillaumin, Van Gool: Food-101 – Mining Discriminative Components with Random
Forests (ECCV 2014): 750 training and 250 test images of each class.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from foodvision.data.dataset import Dataset
from foodvision.errors import DataError
from foodvision.files.archive import unpack
from foodvision.files.atomic import new_folder
from foodvision.files.download import RemoteFile, downloaded

CLASSES = ("pizza", "steak", "sushi")
"""The classes of Mini."""

SHARES = {"mini": 0.1, "mini20": 0.2}
"""Share of Food-101's images of these classes, in 0-1."""

_SPLITS = ("train", "test")


@dataclass(frozen=True)
class Release:
    """A published archive and the limits of what it unpacks to."""

    file: RemoteFile
    max_bytes: int
    max_members: int


def _course(name: str, blob_id: str) -> Release:
    url = f"https://github.com/mrdbourke/pytorch-deep-learning/raw/main/data/{name}.zip"
    file = RemoteFile(url, "git blob id", blob_id, max_bytes=60_000_000)
    return Release(file, max_bytes=60_000_000, max_members=2_000)


_BIG = RemoteFile(
    "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
    "MD5",
    "85eeb15f3717b99a5da872d97d918f87",
    max_bytes=4_996_278_331,  # its size
)
RELEASES = {
    "mini": _course("pizza_steak_sushi", "65f3915a380f5efd456a6a5750f0365350de8dd0"),
    "mini20": _course("pizza_steak_sushi_20_percent", "dfc8ad2ae9415304d69cc6a0ee443c340cb29049"),
    "big": Release(_BIG, max_bytes=6_000_000_000, max_members=110_000),
}


def get_food101(name: str, out: Path) -> None:
    """Fetch a dataset and write it as ``out/train/CLASS/*.jpg`` and ``out/test/CLASS/*.jpg``.

    Args:
        name: ``mini``, ``mini20`` (tens of MB) or ``big`` (5 GB, and 6 GB more to unpack it).
        out: a folder that does not exist yet, or an empty one; written completely or not at all.
            The archive is kept beside it until then, and an interrupted download is resumed.

    Raises:
        DataError: if it cannot be fetched or verified, or the disk is too full.
        OSError: if the folder cannot be written.

    """
    release = RELEASES[name]
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        downloaded(release.file, out.parent, release.max_bytes) as archive,
        new_folder(out) as folder,
    ):
        unpack(archive, folder, release.max_bytes, release.max_members)
        if name == "big":
            _arrange(folder, archive)
        for split in _SPLITS:
            if not any(folder.glob(f"{split}/*/*.jpg")):
                raise DataError(
                    f"{archive}: has no {split}/CLASS/*.jpg; it is not the expected archive"
                )


def cut_mini(food101: Dataset, out: Path, share: float, seed: int = 0) -> None:
    """Copy a share of a Food-101's pizza, steak and sushi into ``out/train`` and ``out/test``.

    It has as many images as the course's zip (225 for training and 75 for the test at 0.1, 450
    and 150 at 0.2), the same number of each class, but not the same ones: the course drew its own
    at random. Here the seed and the bytes of an image decide, so that for one seed, Mini at 0.1
    is a part of Mini at 0.2.

    Args:
        food101: with the splits train and test.
        out: a folder that does not exist yet, or an empty one; written completely or not at all.
        share: of the images of each class and split, in 0-1; at least one is taken.
        seed: another seed takes other images.

    Raises:
        DataError: if the dataset has no such images.
        OSError: if the folder cannot be written.

    """
    salt = f"{seed} ".encode()
    with new_folder(out) as folder:
        for split in _SPLITS:
            images = food101.splits.get(split)
            for label in CLASSES:
                if images is None or not images.counts().get(label):
                    raise DataError(f"{food101.name}: has no {label} in {split}; is it Food-101?")
                (folder / split / label).mkdir(parents=True)
                rows = np.flatnonzero(images.labels == images.classes.index(label)).tolist()
                rows.sort(key=lambda row: sha256(salt + images[row].read()).digest())
                for example in (images[row] for row in rows[: max(1, round(share * len(rows)))]):
                    path = folder / split / label / f"{Path(example.name).stem}.jpg"
                    with path.open("xb") as file:
                        file.write(example.read())


def _arrange(folder: Path, archive: Path) -> None:
    """Move food-101/images/CLASS/ID.jpg to where food-101/meta/SPLIT.json says it belongs."""
    base = folder / "food-101"
    split_of: dict[str, str] = {}
    try:
        for split in _SPLITS:
            listed = json.loads((base / "meta" / f"{split}.json").read_text(encoding="utf-8"))
            split_of |= {f"{name}.jpg": split for names in listed.values() for name in names}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{archive}: no food-101/meta/{split}.json that can be read") from error
    # Start from the images that exist, because names in the list might lead out of the folder.
    for path in sorted(base.glob("images/*/*.jpg")):
        name = path.relative_to(base / "images").as_posix()
        if name not in split_of:
            raise DataError(f"{archive}: {name} is in neither train.json nor test.json")
        target = folder / split_of.pop(name) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    if split_of:
        raise DataError(f"{archive}: {len(split_of):,} images are missing: {next(iter(split_of))}")
    for text in base.glob("*.txt"):  # licence and readme
        text.rename(folder / text.name)
    shutil.rmtree(base)
