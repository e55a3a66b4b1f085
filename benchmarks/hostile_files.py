"""Writes the hostile files that `hostile_inputs` feeds to foodvision, into an empty folder.

Each file is small on disk and made here; what it threatens is in its name.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import save_file

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.images import ImageSpec
from foodvision.models.config import ViTConfig
from foodvision.models.vit import ViT

ESCAPE = "\x1b[31mred\x1b[0m"
FORMULA = '=HYPERLINK("http:evil","pizza")'


class RunsCode:
    """Creates the file `pickled-code-ran` when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pickled-code-ran",)


def write_all(root: Path) -> None:
    """Write images, models, recipes and datasets below an empty folder."""
    write_models(root)
    write_images(root / "images")
    write_recipes(root)
    write_datasets(root / "data")


def photo(seed: int = 0, size: int = 64) -> Image.Image:
    """Noise, the same for the same seed."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of these chunks, with correct checksums."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def blank_png(width: int, height: int, depth: int = 8, colour: int = 2, *rest: tuple) -> bytes:
    """A black PNG, compressed row by row: no more memory than a row."""
    channels = {0: 1, 2: 3, 6: 4}[colour]
    packer, row = zlib.compressobj(), bytes(1 + width * channels * depth // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return png((b"IHDR", header), *rest, (b"IDAT", data), (b"IEND", b""))


def write_images(folder: Path) -> None:
    folder.mkdir(parents=True)
    good = io.BytesIO()
    photo().save(good, "JPEG")
    jpeg = good.getvalue()
    (folder / "good.jpg").write_bytes(jpeg)
    (folder / "empty.jpg").touch()
    (folder / "truncated.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "text.jpg").write_text("not an image")
    (folder / "page.png").write_text("<html><script>alert(1)</script></html>")
    (folder / "bomb.png").write_bytes(blank_png(13_000, 13_000))
    (folder / "sixteen-bit.png").write_bytes(blank_png(10_000, 9_900, 16, 6))
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    (folder / "endless.png").write_bytes(png((b"IHDR", header), (b"IDAT", b""), (b"IEND", b"")))
    (folder / "thin.png").write_bytes(blank_png(1, 1_000_000))
    (folder / "thinner.png").write_bytes(blank_png(1, 2_000_000))
    (folder / "script.svg").write_text('<svg xmlns="http:x"><script>alert(1)</script></svg>')
    (folder / "noise.jpg").write_bytes(os.urandom(50_000_000))
    (folder / "large.jpg").write_bytes(bytes(60_000_000))
    profile = b"p\0\0" + zlib.compress(bytes(500_000_000))
    (folder / "profile.png").write_bytes(blank_png(64, 64, 8, 2, (b"iCCP", profile)))
    comment = b"c\0\0" + zlib.compress(bytes(500_000_000))
    (folder / "comment.png").write_bytes(blank_png(64, 64, 8, 2, (b"zTXt", comment)))
    (folder / "claims.gif").write_bytes(b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(99))
    frames = [Image.new("P", (64, 64), i % 256) for i in range(3_000)]
    frames[0].save(folder / "frames.gif", save_all=True, append_images=frames[1:])
    claims = bytearray(jpeg)
    start = jpeg.index(b"\xff\xc0") + 5
    claims[start : start + 4] = struct.pack(">HH", 65_500, 65_500)
    (folder / "claims.jpg").write_bytes(claims)
    Image.new("F", (64, 64), 0.5).save(folder / "float.tiff")
    Image.new("RGB", (9_000, 9_000)).save(folder / "big.webp", lossless=True, quality=0)
    (folder / "vector.svg").write_text(
        '<svg xmlns="http:x"><image href="file:///etc/passwd"/></svg>'
    )
    (folder / "garbage.heic").write_bytes(b"\0\0\0\x18ftypheic" + os.urandom(500))
    os.mkfifo(folder / "fifo.jpg")
    (folder / "device.jpg").symlink_to("/dev/zero")
    (folder / "folder.jpg").mkdir()
    photo().save(folder / "folder.jpg" / "text.txt", "PNG")
    shutil.copy(folder / "good.jpg", os.fsencode(folder) + b"/caf\xe9\x1b[31m\n.jpg")
    (folder / "archive.jpg").write_bytes(b"PK\x03\x04" + bytes(1_000))


def write_models(root: Path) -> None:
    config = ViTConfig(
        image_size=32, patch_size=8, num_layers=1, hidden_size=24, mlp_size=48, num_heads=3,
        num_classes=3,
    )  # fmt: skip
    torch.manual_seed(0)
    network = ViT(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    good = TorchClassifier(network, ImageSpec(32), ("pizza", "steak", "sushi"))
    good.save(root / "models" / "good")
    TorchClassifier(network, ImageSpec(32), (ESCAPE, FORMULA, "<img src=http:x>")).save(
        root / "models" / "names"
    )

    def change(name: str, file: str = "config.json", **values: object) -> None:
        folder = root / "models" / name
        shutil.copytree(root / "models" / "good", folder)
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(content | values))

    def replace(name: str, file: str, content: bytes | None = None) -> Path:
        folder = root / "models" / name
        shutil.copytree(root / "models" / "good", folder)
        (folder / file).unlink()
        if content is not None:
            (folder / file).write_bytes(content)
        return folder / file

    def without_spec(name: str, **values: object) -> None:
        """As transformers writes it, so that preprocessor_config.json is read."""
        change(name, foodvision={})
        file = root / "models" / name / "preprocessor_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    change("layers", num_hidden_layers=10**9)
    change("width", hidden_size=3 * 10**9)
    change("patch", patch_size=-8)
    change("size-text", hidden_size="many")
    change("nan", layer_norm_eps=float("nan"))
    change("duplicates", id2label={"0": "pizza", "1": "pizza", "2": "sushi"})
    change("numbers", id2label={"0": "pizza", "1": "steak", "7": "sushi"})
    change("labels-list", id2label=["pizza", "steak", "sushi"])
    change("llama", model_type="llama")
    change("meta-text", foodvision="all of it")
    published = {"input_size": [3, 32, 32], "crop_pct": 1.0, "interpolation": "bicubic"}
    published |= {"mean": [0.5] * 3, "std": [0.5] * 3, "num_classes": 3}
    change("timm", architecture="os.system", pretrained_cfg=published)
    without_spec("resize", size={"height": 10**7, "width": 10**7}, do_center_crop=False)
    without_spec("std", image_std=[0, 0, 0])
    os.mkfifo(replace("fifo", "config.json"))
    replace("nested", "config.json", b"[" * 1_000_000)
    replace("list", "config.json", b"[]")
    replace("no-config", "config.json")
    whole = (root / "models" / "good" / "model.safetensors").read_bytes()
    replace("truncated", "model.safetensors", whole[:-1_000])
    replace("header", "model.safetensors", struct.pack("<Q", 2**60) + whole[8:])
    replace("device", "model.safetensors").symlink_to("/dev/zero")
    replace("pickle", "model.safetensors", pickle.dumps(RunsCode()))
    for name, value in (("nan-weights", float("nan")), ("inf-weights", float("inf"))):
        state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        network.head.weight.data[0, 0] = value
        good.save(root / "models" / name)
        network.load_state_dict(state)

    weights = root / "weights"
    weights.mkdir()
    torch.save({"weight": RunsCode()}, weights / "code.pth")
    with zipfile.ZipFile(weights / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        array = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            array, {"descr": "<f4", "fortran_order": False, "shape": (2_000_000_000,)}
        )
        with archive.open("cls.npy", "w", force_zip64=True) as member:
            member.write(array.getvalue())
            for _ in range(800):
                member.write(bytes(10_000_000))
    os.mkfifo(weights / "fifo.pth")
    save_file({"conv1.weight": torch.zeros(8, 3, 3, 3)}, weights / "cnn.safetensors")


def write_recipes(root: Path) -> None:
    folder = root / "recipes"
    folder.mkdir()
    (folder / "nested.toml").write_text("a = " + "[" * 100_000)
    (folder / "binary.toml").write_bytes(os.urandom(1_000))
    os.mkfifo(folder / "fifo.toml")


def write_dataset(folder: Path, classes: tuple[str, ...] = ("pizza", "steak")) -> Path:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for seed in range(8):
            photo(100 * number + seed).save(folder / name / f"{seed}.png")
    return folder


def write_datasets(root: Path) -> None:
    write_dataset(root / "good")
    (root / "empty").mkdir()
    os.mkfifo(write_dataset(root / "fifo") / "pizza" / "fifo.jpg")
    loop = write_dataset(root / "loop") / "pizza" / "loop"
    loop.symlink_to("..", target_is_directory=True)
    (write_dataset(root / "device") / "pizza" / "zero.png").symlink_to("/dev/zero")
    write_dataset(root / "names", (ESCAPE, FORMULA))
    (write_dataset(root / "split") / "split.csv").write_bytes(b"name,\0\xff" + os.urandom(9_000))
    (write_dataset(root / "field") / "split.csv").write_text('name,split\n"' + "a" * 10_000_000)
    outside = root / "outside"
    outside.mkdir()
    (outside / "labels.csv").write_text("path,label\n../../../../etc/passwd,a\n/etc/hostname,b\n")
    bombs = write_dataset(root / "bombs")
    for name in ("pizza", "steak"):
        (bombs / name / "bomb.png").write_bytes(blank_png(13_000, 13_000))
    for name, rows in {
        "passwd": [{"bytes": None, "path": "/etc/passwd"}] * 8,
        "nothing": [None] * 8,
    }.items():
        (root / name).mkdir()
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({"image": pa.array(rows, kind), "label": [0, 1] * 4})
        pq.write_table(table, root / name / "train.parquet")
    whole = (root / "passwd" / "train.parquet").read_bytes()
    (root / "truncated").mkdir()
    (root / "truncated" / "train.parquet").write_bytes(whole[:-20])


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
