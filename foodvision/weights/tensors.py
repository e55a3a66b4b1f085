"""Reads a file of weights as tensors by name and nothing else: code in it is never run."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from foodvision.errors import ModelError

SUFFIXES = (".safetensors", ".pth", ".npz")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file with one of the `SUFFIXES`; floats become float32, integers keep their type.

    Raises:
        ModelError: if the file is missing, damaged or holds anything but tensors.

    """
    readers = dict(zip(SUFFIXES, (load_file, _read_pth, _read_npz), strict=True))
    try:
        tensors = readers[path.suffix](path)
    except FileNotFoundError as error:
        raise ModelError(f"there is no {path.name}") from error
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
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def sha256_of(tensors: Mapping[str, Tensor], *rest: object) -> str:
    """SHA-256 of tensors, their names and the repr of anything else."""
    digest = hashlib.sha256(repr(rest).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _read_pth(path: Path) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickle protocols: torch reads them or raises
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_npz(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array, not an .npz archive")
        return {name: torch.from_numpy(archive[name]) for name in archive.files}
