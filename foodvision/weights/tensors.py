"""Reads a file of weights as tensors by name and nothing else: code in it is never run.

What comes out is finite numbers that take little more memory than the file does.
"""

from __future__ import annotations

import hashlib
import mmap
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from foodvision.errors import ModelError
from foodvision.files.read import check_regular, open_regular
from foodvision.weights.repository import check_safetensors

SUFFIXES = (".safetensors", ".pth", ".npz")

MAX_RATIO = 4
"""Largest ratio of tensors to file, in bytes: weights do not compress, a bomb does."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file with one of the `SUFFIXES`; floats become float32, integers keep their type.

    Raises:
        ModelError: if the file is missing, damaged, or holds anything but tensors of finite
            numbers; or if these take more than `MAX_RATIO` times its size.

    """
    readers = dict(zip(SUFFIXES, (_read_safetensors, _read_pth, _read_npz), strict=True))
    readers[".bin"] = _read_pth  # transformers' name for it
    try:
        tensors = readers[path.suffix](path)
    except FileNotFoundError as error:
        raise ModelError(f"there is no {path.name}") from error
    except ModelError:
        raise
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path.name} is damaged, or holds Python objects beside its tensors, which are never "
            "loaded because that can run code; save only its state_dict()"
        ) from error
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error.strerror or error})") from error
    except Exception as error:  # these libraries raise any kind of error for a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{path.name} is damaged ({reason})") from error
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    ):
        raise ModelError(f"{path.name} is not a state_dict: it must only hold tensors by name")
    _check_size(path, sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()))
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.device.type != "cpu":
            raise ModelError(f"{path.name}: {name} is not a dense tensor on the CPU")
        if tensor.is_floating_point():
            tensors[name] = tensor.float()
            _check_finite(path, name, tensors[name])
    return tensors


def _check_size(path: Path, size: int) -> None:
    """Refuse tensors that share or repeat their values, and archives that are compressed."""
    if size > MAX_RATIO * (found := path.stat().st_size) + 1_000_000:
        raise ModelError(
            f"{path.name} has {found / 1e6:,.1f} MB and would take {size / 1e6:,.0f} MB of "
            "memory; it is not a file of weights"
        )


def _check_finite(path: Path, name: str, tensor: Tensor) -> None:
    # Both propagate NaN, and take a twentieth of the time of isfinite().
    if tensor.numel() and not torch.stack(tensor.aminmax()).isfinite().all():
        raise ModelError(f"{path.name}: {name} holds NaN or infinity; the weights are damaged")


def sha256_of(tensors: Mapping[str, Tensor], *rest: object) -> str:
    """SHA-256 of tensors, their names and the repr of anything else."""
    digest = hashlib.sha256(repr(rest).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    check_safetensors(path)
    return load_file(path)


def _read_pth(path: Path) -> object:
    check_regular(path)
    # The one call that torch allows in a pickle and that fills memory: bytearray(10**12).
    bomb = b"\nbytearray\n"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_size(path, sum(member.file_size for member in members))
            found = any(bomb in archive.read(m) for m in members if m.filename.endswith(".pkl"))
    else:  # as torch before 1.6 wrote it
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            found = content.find(bomb) >= 0
    if found:
        raise pickle.UnpicklingError
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickle protocols: torch reads them or raises
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_npz(path: Path) -> dict[str, Tensor]:
    with open_regular(path) as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("it is not an .npz archive")
        file.seek(0)
        archive = np.load(file, allow_pickle=False)
        _check_size(path, sum(member.file_size for member in archive.zip.infolist()))
        return {name: torch.from_numpy(archive[name]) for name in archive.files}
