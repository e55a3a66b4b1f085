"""The runtime of the page: which files of onnxruntime-web, with the SHA-256 that each must have.

The CDN serves the files of the npm package as they are, so both have the same hashes. Another
version means other hashes: `sha256sum node_modules/onnxruntime-web/dist/NAME`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from foodvision.errors import FoodvisionError

VERSION = "1.30.0"

CDN = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/"

BINARIES = {
    "ort.wasm.bundle.min.mjs": (
        73_054,
        "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    ),
    "ort-wasm-simd-threaded.wasm": (
        14_239_897,
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    ),
    "ort.webgpu.bundle.min.mjs": (
        117_732,
        "0730816731ce2cdfb06f273da065d4a1c7091eb9d1756a83b2916c8a89d015e2",
    ),
    "ort-wasm-simd-threaded.asyncify.wasm": (
        26_781_914,
        "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
    ),
}
"""Bytes and SHA-256 of each file."""

_PROVIDERS = {
    "wasm": ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
}
"""Module and binary by which each is run."""


def runtime_files(address: str) -> dict[str, Any]:
    """Module and binary of each provider, as page.json lists them.

    Args:
        address: where the page finds them; ends with a slash.

    """

    def listed(name: str) -> dict[str, Any]:
        size, digest = BINARIES[name]
        return {"url": address + name, "bytes": size, "sha256": digest}

    return {
        provider: {"module": listed(module), "binary": listed(binary)}
        for provider, (module, binary) in _PROVIDERS.items()
    }


def vendored(folder: Path) -> list[Path]:
    """The runtime's files in a folder of npm.

    Args:
        folder: where npm installed onnxruntime-web, or the package itself.

    Raises:
        FoodvisionError: if they are not there, or are not those of `VERSION`.

    """
    package = next(
        (
            place
            for place in (folder / "node_modules" / "onnxruntime-web", folder)
            if (place / "dist").is_dir()
        ),
        None,
    )
    install = f"npm install onnxruntime-web@{VERSION}"
    if package is None:
        raise FoodvisionError(f"{folder}: has no onnxruntime-web; run {install} there")
    paths = [package / "dist" / name for name in BINARIES]
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            reason = error.strerror
            raise FoodvisionError(f"{path}: cannot be read ({reason}); run {install}") from error
        if hashlib.sha256(content).hexdigest() != BINARIES[path.name][1]:
            raise FoodvisionError(
                f"{path}: is not the file of onnxruntime-web {VERSION} (its SHA-256 differs); "
                f"run {install} in an empty folder"
            )
    return paths
