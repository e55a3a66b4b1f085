"""The requirements.txt of a Space: what its app imports, pinned to what runs on this machine.

The versions are those installed here, with which the model was trained and measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from foodvision.deploy import Target, What
from foodvision.errors import FoodvisionError

PYTHON = {Target.STATIC: "3.12", Target.ZEROGPU: "3.12.12", Target.CPU: "3.12"}
"""Of a Space; ZeroGPU has this release and 3.10.13, on which transformers does not run."""

SERVING = ("filelock", "gradio[mcp]", "huggingface-hub", "jaxtyping", "numpy", "pillow", "pydantic")
"""What every app imports, with `safetensors`."""

OPTIONAL = ("pillow-heif",)
"""The photographs of iPhones can be opened there if they can be opened here."""

_ZEROGPU_TORCH = {"torch": "2.11.0", "torchvision": "0.26.0"}
"""The latest that ZeroGPU runs."""

_SPACES = "spaces==0.51.3"
"""The decorator of ZeroGPU, which nothing else needs."""

_CPU_WHEELS = "--extra-index-url https://download.pytorch.org/whl/cpu"
"""Where torch is without CUDA: 6 GB less."""

_SPACE = {
    "python_version": "3.12",
    "python_full_version": "3.12.12",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "os_name": "posix",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
}
"""The environment markers of a Space."""


def requirements(target: Target, what: What, libraries: Sequence[str] = ()) -> list[str]:
    """The lines of requirements.txt; none for a static Space.

    Args:
        target: of the Space.
        what: its app.
        libraries: of the network, beside torch: timm.

    Raises:
        FoodvisionError: if a package that the app imports is not installed here.

    """
    if target is Target.STATIC:
        return []
    roots = [*SERVING, "safetensors", *(name for name in OPTIONAL if _is_installed(name))]
    torch: dict[str, str] = {}
    if target is Target.ZEROGPU:
        torch = _ZEROGPU_TORCH
    elif what is What.CAPTION:
        torch = {name: _installed(name).partition("+")[0] for name in _ZEROGPU_TORCH}
    else:
        roots.append("onnxruntime")
    if torch:
        # The classifier's overlay has matplotlib's colours.
        roots += ["transformers"] if what is What.CAPTION else [*libraries, "matplotlib"]
    pins = _installed_versions(roots) | torch
    _heed_the_platform(pins)
    lines = sorted(f"{name}=={pin}" for name, pin in pins.items())
    if target is Target.ZEROGPU:
        return sorted([*lines, _SPACES])
    return [_CPU_WHEELS, *lines] if torch else lines


def _installed_versions(roots: Sequence[str]) -> dict[str, str]:
    """The versions of packages and of all that they need; torch's own needs are left to it."""
    found: dict[str, str] = {}
    waiting = [Requirement(root) for root in roots]
    for requirement in waiting:
        _installed(requirement.name)
    seen = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        key = name, frozenset(requirement.extras)
        # What is not installed is for the Python of a Space alone, whose pip will choose it.
        if name in _ZEROGPU_TORCH or key in seen or not _is_installed(name):
            continue
        seen.add(key)
        found[name] = version(name)
        waiting += _needs(name, requirement.extras)
    return found


def _heed_the_platform(pins: dict[str, str]) -> None:
    """Change the pins that the build of a Space would refuse: it adds ``gradio[oauth,mcp]``."""
    for requirement in _needs("gradio", {"oauth", "mcp"}):
        name, allowed = canonicalize_name(requirement.name), requirement.specifier
        if name not in pins or allowed.contains(pins[name]):
            continue
        for needed in _needs(name, set()):
            if any(part.operator == "==" for part in needed.specifier):
                pins.pop(canonicalize_name(needed.name), None)  # the other version has another
        bounds = [Version(part.version) for part in allowed if part.operator in ("<=", ">=")]
        pins[name] = str(max(bound for bound in bounds if allowed.contains(bound)))


def _needs(name: str, extras: set[str]) -> Iterator[Requirement]:
    """On the Python of a Space."""
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or any(
            requirement.marker.evaluate(_SPACE | {"extra": extra}) for extra in ("", *extras)
        ):
            yield requirement


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError as error:
        raise FoodvisionError(
            f"the app of a Space imports {name}, which is not installed here, so no version of it "
            f"can be pinned: pip install {name}"
        ) from error
