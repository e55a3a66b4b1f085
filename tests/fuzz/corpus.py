"""Small valid inputs of each parser, made by code: what fuzzing begins with."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageCms
from safetensors.torch import save

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.images import ImageSpec
from foodvision.models.config import ViTConfig
from foodvision.models.vit import ViT
from foodvision.training.settings import load_recipe
from foodvision.weights.layouts import GOOGLE, TRANSFORMERS, ViTLayout

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 9, 4), np.uint8)
VIT = {
    "model_type": "vit",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "image_size": 4,
    "patch_size": 2,
    "id2label": {"0": "pizza", "1": "steak"},
}
NETWORK = {
    "image_size": 4,
    "patch_size": 2,
    "num_layers": 1,
    "hidden_size": 8,
    "mlp_size": 8,
    "num_heads": 2,
    "num_classes": 2,
}
SPEC = {"size": [4, 4], "resize_mode": "crop", "resize_size": 5, "mean": [0.5] * 3}
MEASURED = {
    "n": 9,
    "log_loss": 0.5,
    "accuracy": 0.8,
    "accuracy_ci95": [0.7, 0.9],
    "ece": 0.1,
    "precision": "float32",
    "chosen": "the epoch",
}
PROCESSORS = (
    {"size": {"height": 4, "width": 4}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    {"size": {"shortest_edge": 5}, "do_center_crop": True, "crop_size": 4, "resample": 3},
    {"size": {"max_height": 4, "max_width": 4}, "do_pad": True, "do_normalize": False},
)


def seeds() -> dict[str, list[bytes]]:
    """By the names of `tests.fuzz.parsers`."""
    table = b"path,label,split\na.png,pizza,train\n"
    return {
        "image": [*_images().values()],
        "PNG": [content for name, content in _images().items() if name.endswith(".png")],
        "safetensors": [
            save(_network(TRANSFORMERS), {"format": "pt"}),
            save({"w": torch.ones(2, dtype=torch.bfloat16)}),
        ],
        "npz": [_npz()],
        "npy": [_npy(np.ones((2, 3), np.float32)), _npy(np.arange(4))],
        "pth": [
            _pth(_network(TRANSFORMERS)),
            _pth({"w": torch.ones(2)}, new_format=False),
        ],
        "pickle": [_member(_pth(_tensors()), "/data.pkl")],
        "config.json": [json.dumps(config).encode() for config in _configs()],
        "preprocessor_config.json": [json.dumps(config).encode() for config in PROCESSORS],
        "unsure": [save({"numbers": torch.ones(3), "origin": torch.ones(8)}, {"foodvision": "{}"})],
        "recipe": [b"epochs = 3\nnetwork = 'vit_b16'\n", b'weights = "a"\nclasses = ["x"]\n'],
        "recipe.json": [json.dumps(_begun()).encode()],
        "history": [b'{"epoch": 1, "train_loss": 1, "train_accuracy": 1, "log_loss": null}\n'],
        "labels.csv": [table, table.replace(b",", b";"), b"\xef\xbb\xbffile,class\na.png,x\n"],
        "split.csv": [
            b"name,class,sha256,split,rule\na.png,x," + b"0" * 64 + b",train,seed=0 test=0.5\n",
        ],
        "predictions.jsonl": [b'{"path": "a.png", "error": null}\n'],
        "predictions.csv": [b'path,label,error\na.png,pizza,""\n'],
        "Parquet": [_parquet(pa.array([0, 1])), _parquet(pa.array(["a", None]))],
        "zip": [_zip()],
        "tar": [_tar()],
        "card": [b"---\nlicense: mit\ntags: [a]\n---\n# A model\n"],
        "Hub": [
            b'200 {"name": "me", "auth": {"accessToken": {"role": "write"}}, "isPro": true}',
            b'200 {"name": "x", "orgs": [{"name": "me", "plan": "team"}]}',
            b'200 {"id": "me/x", "sha": "0", "siblings": [{"rfilename": "a"}], "tags": ["b"]}',
            b'404 {"error": "no"}',
            b'200 [{"type": "file", "path": "config.json", "size": 2, "oid": "0"}]',
        ],
        "HTTP": [
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: x\r\n\r\nabcd",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            b"HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 206 Part\r\nContent-Range: bytes 0-1/2\r\n\r\n",
        ],
    }


def _images() -> dict[str, bytes]:
    pillow_heif.register_heif_opener()
    rgb, alpha = Image.fromarray(PIXELS[..., :3]), Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    wide = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    made: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "a.jpeg": (rgb, {"exif": exif, "quality": 50}),
        "progressive.jpeg": (rgb, {"progressive": True, "icc_profile": profile}),
        "cmyk.jpeg": (rgb.convert("CMYK"), {}),
        "a.png": (alpha, {"exif": exif, "icc_profile": profile}),
        "grey.png": (wide, {}),
        "palette.png": (rgb.convert("P"), {"transparency": 3}),
        "lossy.webp": (rgb, {"exif": exif}),
        "lossless.webp": (alpha, {"lossless": True}),
        "a.gif": (rgb, {"save_all": True, "append_images": [rgb.rotate(90)]}),
        "a.bmp": (rgb, {}),
        "raw.tiff": (rgb, {"exif": exif}),
        "lzw.tiff": (alpha, {"compression": "tiff_lzw"}),
        "jpeg.tiff": (rgb, {"compression": "jpeg"}),
        "deflate.tiff": (wide, {"compression": "tiff_adobe_deflate"}),
        "a.avif": (rgb, {}),
        "a.heif": (rgb, {}),
        "a.ppm": (rgb, {}),
        "grey.ppm": (wide, {}),
        "black.ppm": (rgb.convert("1"), {}),
    }
    contents = {}
    for name, (image, options) in made.items():
        file = io.BytesIO()
        image.save(file, Path(name).suffix[1:], **options)
        contents[name] = file.getvalue()
    return contents


def _tensors() -> dict[str, torch.Tensor]:
    return {"cls_token": torch.ones(1, 1, 8), "head.bias": torch.ones(2), "count": torch.tensor(3)}


def _network(layout: ViTLayout) -> dict[str, torch.Tensor]:
    """A whole Vision Transformer, as a library names its tensors."""
    network = ViT(ViTConfig(**NETWORK))
    return layout.write(network.state_dict(), network.config)


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, **{name: tensor.numpy() for name, tensor in _network(GOOGLE).items()})
    return file.getvalue()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _pth(tensors: Mapping[str, torch.Tensor], new_format: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(dict(tensors), file, _use_new_zipfile_serialization=new_format)
    return file.getvalue()


def _member(archive: bytes, end: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return file.read(next(name for name in file.namelist() if name.endswith(end)))


def _configs() -> list[dict[str, Any]]:
    recipe = load_recipe("scratch").model_dump(mode="json")
    origin = {"weights": "torchvision:x", "licence": None}
    teacher = {"name": "a", "network": "b", "sha256": "c", "origins": [origin]}
    known = {"image_spec": SPEC, "parameters": 9, "metrics": MEASURED, "recipe": recipe}
    known |= {"origin": origin, "origins_of_teachers": [origin]}
    known |= {"teacher": teacher, "versions": {"torch": "2"}}
    export = {"runs": ["onnx/float32"], "limits": {"onnx/float32": [0.5, 1.0]}, "checks": {}}
    published = {"input_size": [3, 4, 4], "crop_pct": 0.9, "interpolation": "bicubic"}
    published |= {"mean": [0.5] * 3, "std": [0.5] * 3, "num_classes": 2, "license": "mit"}
    own = {"model_type": "foodvision", "network": NETWORK | {"pooling": "average"}}
    own |= {"id2label": VIT["id2label"]}
    library = {"name": "efficientnet_b0", "image_size": [4, 4], "num_classes": 2}
    return [
        VIT,
        VIT | {"foodvision": known},
        VIT | {"foodvision": {"image_spec": SPEC, "export": export}, "network": NETWORK},
        VIT | {"model_type": "dinov2", "mlp_ratio": 1, "qkv_bias": False},
        own | {"foodvision": {"image_spec": SPEC}},
        own | {"foodvision": {"image_spec": SPEC}, "network": library},
        {"architecture": "vit_tiny_patch16_224", "pretrained_cfg": published},
        {"architecture": "resnet18", "pretrained_cfg": published, "model_args": {}},
    ]


def _begun() -> dict[str, Any]:
    return {"data": "a", "start": None, "recipe": load_recipe("scratch").model_dump(mode="json")}


def _parquet(labels: pa.Array) -> bytes:
    png = io.BytesIO()
    Image.fromarray(PIXELS[..., :3]).save(png, "PNG")
    images = pa.array([{"bytes": png.getvalue(), "path": None}, None])
    file = io.BytesIO()
    pq.write_table(pa.table({"image": images, "label": labels}), file, compression="none")
    return file.getvalue()


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/a/1.jpg", b"abc" * 9)
        archive.writestr("train/b/", b"")
    return file.getvalue()


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("train/a/1.jpg", "x" * 120):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"abc"))
    return file.getvalue()[:4096]  # without the padding to a tape's record


def write_model(folder: Path) -> None:
    """The folder of a classifier, whose files a parser then replaces."""
    TorchClassifier(ViT(ViTConfig(**NETWORK)), ImageSpec(4), ("pizza", "steak")).save(folder)
