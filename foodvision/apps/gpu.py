"""Work done where the GPU is: on ZeroGPU it is lent to a process of its own, for some seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar

from foodvision.errors import FoodvisionError

GPU_SECONDS = 10
"""At most for one call; ZeroGPU lends its GPU sooner for shorter tasks."""

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

Gpu: TypeAlias = Callable[..., Callable[[Any], Any]]
"""``spaces.GPU``: it makes a decorator, whose functions run in a process that has the GPU."""


def on_gpu(answer: Callable[Given, Answer], gpu: Gpu | None) -> Callable[Given, Answer]:
    """The same function, with its work done where the GPU is; itself if `gpu` is None.

    Errors come back as values: of those that are raised there, ZeroGPU passes on the name alone.
    """
    if gpu is None:
        return answer

    def attempt(*args: Given.args, **kwargs: Given.kwargs) -> Answer | FoodvisionError:
        try:
            return answer(*args, **kwargs)
        except FoodvisionError as error:
            return error

    attempt_on_gpu = gpu(duration=GPU_SECONDS)(attempt)

    def answer_on_gpu(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        result: Answer | FoodvisionError = attempt_on_gpu(*args, **kwargs)
        if isinstance(result, FoodvisionError):
            raise result
        return result

    return answer_on_gpu
