"""Plant known faults in a copy of a dataset, and measure how many `foodvision data check` finds.

    python benchmarks/planted_faults.py plant DATA COPY
    foodvision data check COPY --features MODEL --json > FOUND.json
    python benchmarks/planted_faults.py score COPY FOUND.json [CLEAN.json]

DATA has train and test folders of JPEG files. `CLEAN.json` is what the check finds in DATA itself:
its pairs are the dataset's own, and not counted as false.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

SEED = 0
SWAPPED, COPIED, ALTERED = 40, 20, 20
FIRST = 80  # suspects


def _png(jpeg: bytes) -> bytearray:
    file = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).convert("RGB").save(file, "PNG")
    return bytearray(file.getvalue())


def _wrong_crc(jpeg: bytes) -> bytes:
    png = _png(jpeg)
    png[png.rindex(b"IEND") - 5] ^= 0xFF  # the last byte of the last IDAT's checksum
    return bytes(png)


def _overwritten(jpeg: bytes, fill: Callable[[int], bytes]) -> bytes:
    start, length = len(jpeg) // 2, len(jpeg) // 4
    return jpeg[:start] + fill(length) + jpeg[start + length :]


def _noise(length: int) -> bytes:
    return np.random.default_rng(SEED).bytes(length)


CORRUPT: dict[str, Callable[[bytes], bytes]] = {
    "cut at 90 %": lambda jpeg: jpeg[: 9 * len(jpeg) // 10],
    "cut at 50 %": lambda jpeg: jpeg[: len(jpeg) // 2],
    "cut in the header": lambda jpeg: jpeg[:100],
    "cut before the end marker": lambda jpeg: jpeg[:-2],
    "cut, with an end marker": lambda jpeg: jpeg[: len(jpeg) // 2] + b"\xff\xd9",
    "zero bytes": lambda jpeg: b"",
    "zeros": lambda jpeg: bytes(len(jpeg)),
    "text": lambda jpeg: b"this is not an image\n" * 50,
    "HTML": lambda jpeg: b"<!doctype html><title>404 Not Found</title><h1>Not Found</h1>",
    "noise": lambda jpeg: _noise(len(jpeg)),
    "header overwritten": lambda jpeg: jpeg[:10] + _noise(300) + jpeg[310:],
    "middle overwritten with noise": lambda jpeg: _overwritten(jpeg, _noise),
    "second half zeros": lambda jpeg: jpeg[: len(jpeg) // 2] + bytes(len(jpeg) // 2),
    "PNG with a wrong checksum": _wrong_crc,
    "PNG cut at 50 %": lambda jpeg: bytes(_png(jpeg))[: len(_png(jpeg)) // 2],
}


def plant(data: Path, copy: Path) -> None:
    """Copy a dataset, and plant the faults in images of which each gets one."""
    shutil.copytree(data, copy)
    random = np.random.default_rng(SEED)
    train = sorted((copy / "train").glob("*/*"))
    test = sorted((copy / "test").glob("*/*"))
    classes = sorted(folder.name for folder in (copy / "train").iterdir())
    random.shuffle(train)  # type: ignore[arg-type]
    random.shuffle(test)  # type: ignore[arg-type]
    chosen, planted = iter(train), {"corrupt": {}, "orientation": [], "swapped": [], "pairs": []}

    def name(path: Path) -> str:
        return path.relative_to(copy).as_posix()

    for kind, corrupt in CORRUPT.items():
        path = next(chosen)
        path.write_bytes(corrupt(path.read_bytes()))
        planted["corrupt"][name(path)] = kind
    for orientation in range(1, 9):
        path = next(chosen)
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        with Image.open(path) as image:
            image.load()
        image.save(path, exif=exif, quality=95)
        planted["orientation"].append([name(path), orientation])
    for _ in range(SWAPPED):
        path = next(chosen)
        others = [label for label in classes if label != path.parent.name]
        target = copy / "train" / str(random.choice(others)) / f"swapped-{path.name}"
        planted["swapped"].append([name(path.rename(target)), path.parent.name])
    for i, source in zip(range(COPIED + ALTERED), test, strict=False):
        target = copy / "train" / source.parent.name / f"copy-{source.name}"
        if i < COPIED:
            shutil.copy(source, target)
        else:
            _alter(source, target, i % 2 == 0, random)
        planted["pairs"].append([name(target), name(source)])
    (copy / "planted.json").write_text(json.dumps(planted, indent=1))


def _alter(source: Path, target: Path, crop: bool, random: np.random.Generator) -> None:
    """Save it at another quality, or a crop of 90 to 97 % of its area."""
    with Image.open(source) as image:
        image.load()
    if crop:
        side = float(random.uniform(0.9, 0.97)) ** 0.5
        width, height = int(np.ceil(side * image.width)), int(np.ceil(side * image.height))
        left = int(random.integers(0, image.width - width + 1))
        top = int(random.integers(0, image.height - height + 1))
        image = image.crop((left, top, left + width, top + height))
    image.save(target, quality=int(random.integers(40, 90)))


def score(copy: Path, found: Path, clean: Path | None) -> None:
    """Print what share of each planted fault was found."""
    planted = json.loads((copy / "planted.json").read_text())
    result = json.loads(found.read_text())
    kinds = {(row["path"], row["kind"]) for row in result["faults"]}
    lost = {path for path, kind in kinds if kind in ("unreadable", "damaged")}
    missed = [kind for path, kind in planted["corrupt"].items() if path not in lost]
    print(f"corrupt       {len(planted['corrupt']) - len(missed)} of {len(CORRUPT)}; {missed}")
    print(f"  others called so: {sorted(lost - planted['corrupt'].keys())}")
    turned = [path for path, orientation in planted["orientation"] if orientation > 1]
    print(f"EXIF-rotated  {sum((path, 'EXIF-rotated') in kinds for path in turned)} of 7 (2 to 8)")
    wanted = {frozenset(pair) for pair in planted["pairs"]}
    pairs = set(_pairs(result))
    own = set(_pairs(json.loads(clean.read_text()))) if clean else set()
    print(f"duplicates    {len(wanted & pairs)} of {len(wanted)}")
    missing = sorted(map(sorted, wanted - pairs))
    others = sorted(map(sorted, pairs - wanted - own))
    print(f"  missed: {missing}\n  others: {len(others)} {others}")
    if result["suspects"] is not None:
        swapped = dict(planted["swapped"])
        ranks = [i for i, row in enumerate(result["suspects"]) if row["path"] in swapped]
        print(f"swapped       {sum(i < FIRST for i in ranks)} of {SWAPPED} among the first {FIRST}")
        print(f"  {len(ranks)} among all {len(result['suspects'])} suspects")
        right = sum(swapped.get(row["path"]) == row["suggested"] for row in result["suspects"])
        print(f"  right class suggested for {right}")
    print(f"all           {dict(Counter(kind for _, kind in kinds))}")


def _pairs(result: dict) -> Iterator[frozenset[str]]:
    for pair in result["duplicates"]:
        yield frozenset((pair["first"]["path"], pair["second"]["path"]))


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    given = [Path(path) for path in paths]
    if command == "plant":
        plant(*given)
    else:
        score(given[0], given[1], given[2] if len(given) > 2 else None)
