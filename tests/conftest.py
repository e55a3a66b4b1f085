"""Shared by all tests: no network, no user cache, and shapes in signatures checked at run time."""

from __future__ import annotations

import copy
import gc
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

# Set before importing the libraries that read them.
_CACHE = tempfile.mkdtemp(prefix="foodvision-tests-")
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_HOME": _CACHE,
    "XDG_CACHE_HOME": _CACHE,
    "GRADIO_ANALYTICS_ENABLED": "False",
    "MPLCONFIGDIR": _CACHE,
}

from jaxtyping import install_import_hook  # noqa: E402

install_import_hook(
    ["foodvision.models", "foodvision.weights"],
    "beartype.beartype",
)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from foodvision.classifier.torch_classifier import TorchClassifier  # noqa: E402
from foodvision.classifier.unsure import Unsure  # noqa: E402
from foodvision.images import ImageSpec  # noqa: E402
from foodvision.models.config import ViTConfig  # noqa: E402
from foodvision.models.library import LibraryNetwork  # noqa: E402
from foodvision.models.library_config import LibraryConfig  # noqa: E402
from foodvision.models.vit import ViT  # noqa: E402


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape names that are not UTF-8 in captured text: pytest-xdist cannot send them."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report


def pytest_unconfigure() -> None:
    gc.unfreeze()
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def _imported_for_good() -> None:
    """Leave what is imported out of later collections: every training ends with one, of 0.5 s."""
    gc.collect()
    gc.freeze()


CLASSES = ("dots", "stripes", "waves")


def draw_pattern(label: str, seed: int, size: tuple[int, int] = (40, 48)) -> Image.Image:
    """An image whose class is its pattern; random colours do not reveal the class."""
    random = np.random.default_rng([CLASSES.index(label), seed])
    y, x = np.mgrid[: size[0], : size[1]] + random.uniform(0, 8, (2, 1, 1))
    light = {
        "dots": np.sin(x) * np.sin(y) > 0.2,
        "stripes": np.sin(x * 1.2) > 0,
        "waves": np.sin(y * 0.9) > 0,
    }[label]
    colours = random.integers(0, 256, (2, 3))
    noise = random.normal(0, 8, (*size, 3))
    return Image.fromarray(np.clip(colours[light.astype(int)] + noise, 0, 255).astype(np.uint8))


def write_images(folder: Path, label: str, seeds: range) -> None:
    (folder / label).mkdir(parents=True)
    for seed in seeds:
        draw_pattern(label, seed).save(folder / label / f"{seed:03}.png")


@pytest.fixture(scope="session")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 3 × 30 training and 3 × 10 test images; do not write to it."""
    root = tmp_path_factory.mktemp("patterns")
    for label in CLASSES:
        write_images(root / "train", label, range(30))
        write_images(root / "test", label, range(1000, 1010))
    return root


def build_classifier(
    spec: ImageSpec | None = None, classes: tuple[str, ...] = CLASSES, **settings: object
) -> TorchClassifier:
    """A tiny network with random weights, head included: predictions differ between images."""
    spec = spec or ImageSpec(32)
    config = ViTConfig(
        image_size=spec.size,
        patch_size=8,
        num_layers=2,
        hidden_size=24,
        mlp_size=48,
        num_heads=3,
        num_classes=len(classes),
        **settings,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ViT(config)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return TorchClassifier(network, spec, classes)


def build_torchvision_classifier(name: str, spec: ImageSpec | None = None) -> TorchClassifier:
    """Random weights, as torchvision draws them, and a random head."""
    spec = spec or ImageSpec(64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = LibraryNetwork(LibraryConfig(name, spec.size, len(CLASSES)))
        torch.nn.init.normal_(network.head.weight)
    return TorchClassifier(network, spec, CLASSES)


@pytest.fixture
def classifier() -> TorchClassifier:
    return build_classifier()


@pytest.fixture(scope="session")
def trained() -> TorchClassifier:
    """With random weights, and a rule for when it is not sure; `exported` is its export."""
    torch.manual_seed(0)
    classifier = build_classifier()
    D = classifier.network.head.in_features
    principal, _ = torch.linalg.qr(torch.randn(D, 5))
    classifier.unsure = Unsure(torch.randn(D), principal, 0.3, 0.5, 1.0)
    return classifier


@pytest.fixture(scope="session")
def saved(trained: TorchClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `trained`; do not write to it."""
    folder = tmp_path_factory.mktemp("trained") / "saved"
    copy.copy(trained).save(folder)
    return folder


@pytest.fixture(scope="session")
def exported(trained: TorchClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In all formats, checked on drawings."""
    from foodvision.export.export import export

    out = tmp_path_factory.mktemp("export") / "exported"
    with pytest.MonkeyPatch.context() as patch:  # alike on every processor
        patch.setattr("foodvision.backends.openvino.HAS_BF16", False)
        export(trained, ["onnx", "openvino", "triton"], out)
    return out


@pytest.fixture(scope="session")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny captioner with random weights; do not write to it."""
    from tests.captioning.blip import save_tiny_blip

    folder = tmp_path_factory.mktemp("captioning") / "blip"
    save_tiny_blip(folder)
    return folder
