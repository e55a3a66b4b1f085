"""What the processes of a run tell each other; a rank is one that torchrun or `accelerate` started.

The run's folder is on rank 0's disk alone, and the first rank of each machine reads its images. The
others are told what was read, so machines need no disk in common and nothing is read twice.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from torch import Tensor, distributed, nn
from torch.distributed import DistError, ProcessGroup, TCPStore  # type: ignore[attr-defined]

from foodvision.errors import OtherRankError, RunInterruptedError

PATIENCE = timedelta(hours=3)
"""How long a rank waits for another, which may be reading a million images."""

T = TypeVar("T")


def from_rank_0(make: Callable[[], T], empty: bool = False) -> T:
    """What a call returns on rank 0, on every rank; its tensors arrive on the CPU.

    Args:
        make: called on rank 0.
        empty: leave the other ranks' tensors uninitialised, but for numbers: memory that is not
            written to is not used.

    """
    return _from(0, make, empty=empty) if _several() else make()


def once_per_machine(make: Callable[[], T]) -> T:
    """What a call returns on the first rank of a machine, on every rank of that machine."""
    if not _several():
        return make()
    first = distributed.get_rank() - int(os.environ["LOCAL_RANK"])
    return _from(first, make, _ranks_of_this_machine())


def in_shared_memory(make: Callable[[], tuple[bytearray, T]]) -> tuple[Tensor, T]:
    """Bytes that the ranks of a machine have in common, as uint8, and what describes them.

    Args:
        make: called on the first rank of each machine. Its bytes, at least one, go through a file
            in the folder for temporary files, which is deleted as soon as all ranks have mapped it.

    Raises:
        OSError: if that file cannot be written.

    """
    if not _several():
        content, described = make()
        return torch.frombuffer(content, dtype=torch.uint8), described

    def write() -> tuple[str, int, T]:
        content, described = make()
        with NamedTemporaryFile(prefix="foodvision-", delete=False) as file:
            try:
                file.write(content)
            except BaseException:  # such as a full disk, which it would keep full
                Path(file.name).unlink()
                raise
        return file.name, len(content), described

    path, size, described = once_per_machine(write)
    shared = torch.from_file(path, shared=False, size=size, dtype=torch.uint8)
    distributed.barrier(_ranks_of_this_machine())
    if os.environ["LOCAL_RANK"] == "0":
        Path(path).unlink()
    return shared, described


@contextmanager
def one_report() -> Iterator[None]:
    """Of all ranks that fail within `with`, only the first reports why.

    Raises:
        OtherRankError: on each later rank.

    """
    try:
        yield
    except Exception as error:
        if not _several():
            raise
        if not _is_first_to_fail():
            raise OtherRankError("another process of the run has failed") from error
        raise


@contextmanager
def lost_ranks(advice: str) -> Iterator[None]:
    """Turn the failure to reach another rank into an error of one line.

    Args:
        advice: what to do about it.

    Raises:
        RunInterruptedError: if a rank is lost.

    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, DistError) and "gloo" not in str(error):
            raise
        raise RunInterruptedError(
            "a process of this run was lost: it was killed, ran out of memory, or its machine "
            f"cannot be reached; {advice}"
        ) from error


def _several() -> bool:
    return distributed.is_initialized() and distributed.get_world_size() > 1


def _is_first_to_fail() -> bool:
    """Whether no other rank has asked before; the store is torchrun's, and outlives the ranks."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        store = TCPStore(
            host, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=5)
        )
        return store.add("foodvision/failed", 1) == 1
    except DistError:  # it ended with rank 0
        return True


def _from(
    source: int, make: Callable[[], T], group: ProcessGroup | None = None, empty: bool = False
) -> T:
    if distributed.get_rank() != source:
        content: list[Any] = [None]
        distributed.broadcast_object_list(content, source, group)
        received: T = _Receiver(content[0], source, group, empty).load()
        return received
    value, file = make(), io.BytesIO()
    sender = _Sender(file)
    sender.dump(value)
    distributed.broadcast_object_list([file.getvalue()], source, group)
    for tensor in () if empty else sender.tensors:
        _broadcast(tensor.detach(), source, group)
    return value


class _Sender(pickle.Pickler):
    """Pickles an object without its tensors, which are sent after it, one by one.

    A number in a tensor is a part of the object: an optimiser counts the steps of each parameter.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.tensors: list[Tensor] = []

    def persistent_id(self, value: object) -> tuple[torch.Size, torch.dtype] | None:
        if not isinstance(value, Tensor) or isinstance(value, nn.Parameter) or not value.ndim:
            return None  # a parameter is pickled as its tensor and requires_grad
        self.tensors.append(value)
        return value.shape, value.dtype


class _Receiver(pickle.Unpickler):
    """Receives each tensor where it belongs; the bytes are those of a rank of this very run."""

    def __init__(
        self, content: bytes, source: int, group: ProcessGroup | None, empty: bool
    ) -> None:
        super().__init__(io.BytesIO(content))
        self.source, self.group, self.empty = source, group, empty

    def persistent_load(self, pid: Any) -> Tensor:
        shape, dtype = pid
        tensor = torch.empty(shape, dtype=dtype)
        return tensor if self.empty else _broadcast(tensor, self.source, self.group)


def _broadcast(tensor: Tensor, source: int, group: ProcessGroup | None) -> Tensor:
    """The source's tensor on the CPU, through the device that the ranks communicate with."""
    sent = tensor.to(PartialState().device).contiguous()
    distributed.broadcast(sent, source, group)
    return sent.cpu()


@cache
def _ranks_of_this_machine() -> ProcessGroup | None:
    size = int(os.environ["LOCAL_WORLD_SIZE"])
    if size == distributed.get_world_size():
        return None  # the group of all
    group, _ = distributed.new_subgroups(size, timeout=PATIENCE)
    return group
