"""What near-duplicates across a split are worth to a model that only memorises.

    python benchmarks/leaking_split.py DATA FLAT [COPIES]

Copies the images of DATA into FLAT, gives each photograph one of two classes at random, and adds
COPIES altered copies (all photographs: one each) of the same class. Then it splits FLAT twice, by
identical files only and by near-duplicates, and classifies the validation images by their nearest
training image (pixels of the sketches). Nothing can be learnt, so half of them should be right.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from foodvision.data import load_dataset, split_folder, take_inventory
from foodvision.metrics import wilson_interval

SEED = 0
FRACTIONS = {"test": 0.15, "validation": 0.15}


def plant(data: str, flat: Path, copies: int | None) -> list[tuple[str, str]]:
    """Write FLAT; return the names of each photograph and its copy."""
    random, pairs = np.random.default_rng(SEED), []
    images = load_dataset(data).all_images()
    chosen = set(random.permutation(len(images))[:copies].tolist())
    for label in "ab":
        (flat / label).mkdir(parents=True)
    for number, example in enumerate(images):
        name = f"{random.choice(['a', 'b'])}/{number:05}.jpg"
        content = example.read()
        (flat / name).write_bytes(content)
        if number in chosen:
            pairs.append((name, name.replace(".jpg", "-copy.jpg")))
            (flat / pairs[-1][1]).write_bytes(altered(content, random))
    return pairs


def altered(content: bytes, random: np.random.Generator) -> bytes:
    """Re-encode at quality 50-95, and cut to 90-100 % of the area: either, or both."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    kind = random.integers(3)
    if kind:
        side = random.uniform(0.9, 1.0) ** 0.5
        width, height = (int(np.ceil(side * length)) for length in image.size)
        left = int(random.integers(0, image.width - width + 1))
        top = int(random.integers(0, image.height - height + 1))
        image = image.crop((left, top, left + width, top + height))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95 if kind == 2 else int(random.integers(50, 96)))
    return file.getvalue()


def measure(flat: Path, pairs: list[tuple[str, str]], near: bool) -> dict[str, object]:
    dataset = load_dataset(flat, follow_split_csv=False)
    divided = split_folder(dataset, SEED, FRACTIONS, force=True, near=near)
    split = {name: s for s, images in divided.splits.items() for name in images.names()}
    parts = [take_inventory(divided.splits[s], sketched=True) for s in ("train", "validation")]
    train, validation = (part.sketches.astype(np.float32) for part in parts)
    distance = (train**2).sum(1) - 2 * validation @ train.T
    labels = parts[0].images.labels[distance.argmin(1)]
    right = labels == parts[1].images.labels
    paired = {name for pair in pairs for name in pair}
    copied = np.array([name in paired for name in parts[1].images.names()])
    return {
        "split by": "near-duplicates" if near else "identical files",
        "pairs": len(pairs),
        "pairs that straddle": sum(split[a] != split[b] for a, b in pairs),
        "images": {s: len(images) for s, images in divided.splits.items()},
        "accuracy": right.mean(),
        "interval": wilson_interval(int(right.sum()), len(right)),
        "of photographs with a copy": [int(right[copied].sum()), int(copied.sum())],
    }


if __name__ == "__main__":
    planted = plant(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else None)
    for near in (False, True):
        print(json.dumps(measure(Path(sys.argv[2]), planted, near), default=float))
