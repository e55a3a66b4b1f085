"""Every parser of foreign bytes, as a function of the bytes.

It returns if they are accepted and raises a FoodvisionError if they are refused; anything else that
it raises is a crash. Each is made for an empty folder, into which it writes what it reads, and
imports no more than it needs: its memory is measured.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from foodvision.errors import FoodvisionError, ImageError
from foodvision.images.decode import open_image

Parser = Callable[[bytes], object]


def _image(folder: Path) -> Parser:
    return _open_image


def _png(folder: Path) -> Parser:
    return lambda content: _open_image(with_checksums(content))


def _open_image(content: bytes) -> None:
    for min_side in (None, 2):
        image = open_image(content, min_side)
        assert image.mode == "RGB"
        assert min(image.size) > 0


def with_checksums(png: bytes) -> bytes:
    """A PNG whose chunks have the right checksums, so that their content is read."""
    mended, position = bytearray(png), 8
    while position + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, position)
        end = position + 8 + length
        if end + 4 > len(png):
            break
        struct.pack_into(">I", mended, end, zlib.crc32(png[position + 4 : end]))
        position = end + 4
    return bytes(mended)


def _weights(suffix: str, folder: Path) -> Parser:
    from foodvision.weights.source import load_pretrained
    from tests.fuzz.corpus import PROCESSORS, VIT

    _written(folder / "preprocessor_config.json", json.dumps(PROCESSORS[0]).encode())
    _written(folder / "config.json", json.dumps(VIT).encode())
    path = folder / f"weights{suffix}"
    return lambda content: load_pretrained(str(_written(path, content)))


def _npy(folder: Path) -> Parser:
    read = _weights(".npz", folder)
    return lambda content: read(zipped({"cls.npy": content}))


def _pickle(folder: Path) -> Parser:
    read = _weights(".pth", folder)
    return lambda content: read(zipped({"a/data.pkl": content, "a/version": b"3\n"}))


def _config(folder: Path) -> Parser:
    import timm  # noqa: F401  # which takes seconds, that no input is to blame for

    from foodvision.classifier.describe import describe
    from foodvision.classifier.licence import licence_of
    from tests.fuzz.corpus import write_model

    write_model(model := folder / "model")

    def read(content: bytes) -> None:
        _written(model / "config.json", content)
        _each(partial(describe, model), partial(licence_of, model), partial(_classify, model))

    return read


def _preprocessor(folder: Path) -> Parser:
    from foodvision.classifier.describe import describe
    from tests.fuzz.corpus import write_model

    write_model(model := folder / "model")
    config = json.loads((model / "config.json").read_text())
    del config["foodvision"]  # as transformers writes it
    (model / "config.json").write_text(json.dumps(config))

    def read(content: bytes) -> None:
        _written(model / "preprocessor_config.json", content)
        _each(partial(describe, model), partial(_classify, model))

    return read


def _classify(model: Path) -> None:
    """Load a model and prepare an image, unless its input is large: that is not parsing."""
    import torch

    from foodvision.classifier.classifier import Classifier
    from foodvision.images.transforms import prepare

    spec = Classifier.load(model, device="cpu").spec
    if max(spec.height, spec.width, spec.resize_size or 0) <= 64:
        prepare(torch.zeros((3, 4, 5), dtype=torch.uint8), spec)


def _unsure(folder: Path) -> Parser:
    from foodvision.classifier.info import Belongs
    from foodvision.classifier.unsure import Unsure

    def read(content: bytes) -> None:
        path = _written(folder / "unsure.safetensors", content)
        Unsure.load(path, 8, 2)
        Belongs.read(path)

    return read


def _card(folder: Path) -> Parser:
    from foodvision.weights.licence import find_licence

    def read(content: bytes) -> None:
        _written(folder / "README.md", content)
        find_licence(str(folder))

    return read


def _recipe(folder: Path) -> Parser:
    from foodvision.training.settings import load_recipe

    return lambda content: load_recipe(_written(folder / "recipe.toml", content))


def _run(folder: Path) -> Parser:
    from foodvision.training.run_folder import RunFolder

    def read(content: bytes) -> None:
        _written(folder / "recipe.json", content)
        RunFolder(folder).recipe()

    return read


def _history(folder: Path) -> Parser:
    from foodvision.evaluation.history import read_history

    def read(content: bytes) -> None:
        _written(folder / "history.jsonl", content)
        read_history(folder)

    return read


def _csv(name: str, folder: Path) -> Parser:
    from foodvision.data.load import load_dataset

    for label in ("x", "y"):
        (folder / label).mkdir()
        (folder / label / "a.png").write_bytes(label.encode())
    read = folder / name if name == "labels.csv" else folder

    def load(content: bytes) -> None:
        _written(folder / name, content)
        load_dataset(read)

    return load


def _parquet(folder: Path) -> Parser:
    import datasets

    from foodvision.data.load import load_dataset

    datasets.disable_progress_bars()

    def read(content: bytes) -> None:
        _written(folder / "train.parquet", content)
        for split in load_dataset(folder).splits.values():
            for example in split:
                with suppress(ImageError):  # which `image` is for
                    open_image(example.source)

    return read


def _archive(folder: Path) -> Parser:
    from foodvision.files.archive import unpack

    out = folder / "outer" / "inner"

    def read(content: bytes) -> None:
        out.mkdir(parents=True)
        try:
            unpack(_written(folder / "archive", content), out, 1_000_000, 100)
        finally:
            assert [*out.parent.iterdir()] == [out]
            for path in sorted(out.parent.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()

    return read


def _tar(folder: Path) -> Parser:
    read = _archive(folder)
    return lambda content: read(gzip.compress(content, 1))


def _table(suffix: str, folder: Path) -> Parser:
    from foodvision.rows.text_table import CsvTable, JsonlTable

    kind = CsvTable if suffix == ".csv" else JsonlTable
    out = folder / f"table{suffix}"
    _written(folder / f".table{suffix}.partial.json", b'{"backend": "torch"}')

    def read(content: bytes) -> None:
        _written(folder / f"table{suffix}.partial", content)
        kind(out).begin({}, ["a.png", "b.png"])

    return read


def _hub(folder: Path) -> Parser:
    import httpx
    import huggingface_hub
    from huggingface_hub.utils._http import default_client_factory

    from foodvision.deploy import Target, What
    from foodvision.deploy.hub import Hub
    from foodvision.weights.repository import find_repository

    def read(content: bytes) -> None:
        status, _, body = content.partition(b" ")
        code = int(status) if status in (b"404", b"401", b"302", b"429") else 200
        headers = {"Content-Type": "application/json"}
        transport = httpx.MockTransport(
            lambda _: httpx.Response(code, content=body, headers=headers)
        )
        huggingface_hub.set_client_factory(lambda: httpx.Client(transport=transport))
        hub = Hub()
        try:
            _each(
                lambda: hub.check_may_create(hub.log_in("me"), Target.ZEROGPU, What.CLASSIFY),
                lambda: hub.find("me/x", "space"),
                lambda: find_repository("me/x"),
            )
        finally:  # it is that of the whole process
            huggingface_hub.set_client_factory(default_client_factory)

    return read


def _http(folder: Path) -> Parser:
    from foodvision.files import download
    from foodvision.files.download import RemoteFile, downloaded
    from tests.fuzz.server import Server

    server = Server()
    file = RemoteFile(server.url, "MD5", "0" * 32, 1_000)

    def fetch() -> None:
        with patch.object(download, "PAUSES", ()), downloaded(file, folder):
            pass

    def read(content: bytes) -> None:
        server.content = content
        _each(partial(open_image, server.url), fetch)

    return read


PARSERS: dict[str, Callable[[Path], Parser]] = {
    "image": _image,
    "PNG": _png,
    "safetensors": partial(_weights, ".safetensors"),
    "npz": partial(_weights, ".npz"),
    "npy": _npy,
    "pth": partial(_weights, ".pth"),
    "pickle": _pickle,
    "config.json": _config,
    "preprocessor_config.json": _preprocessor,
    "unsure": _unsure,
    "card": _card,
    "recipe": _recipe,
    "recipe.json": _run,
    "history": _history,
    "labels.csv": partial(_csv, "labels.csv"),
    "split.csv": partial(_csv, "split.csv"),
    "predictions.jsonl": partial(_table, ".jsonl"),
    "predictions.csv": partial(_table, ".csv"),
    "Parquet": _parquet,
    "zip": _archive,
    "tar": _tar,
    "Hub": _hub,
    "HTTP": _http,
}
"""Each makes the parser for an empty folder."""


def zipped(members: dict[str, bytes]) -> bytes:
    """An archive that stores these members, with the right checksums."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _each(*calls: Callable[[], Any]) -> None:
    """Call all, and raise the last refusal, if there was one."""
    refusal = None
    for call in calls:
        try:
            call()
        except FoodvisionError as error:
            refusal = error
    if refusal:
        raise refusal
