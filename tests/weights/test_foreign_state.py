"""Loading works in whatever state other libraries or the user have left torch."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.images import ImageSpec
from foodvision.models.config import ViTConfig
from foodvision.models.library import LibraryNetwork
from foodvision.models.vit import ViT
from foodvision.weights.source import load_pretrained
from tests.conftest import build_classifier, build_torchvision_classifier

NETWORKS = ("vit", "average", "mobilenet_v3_small", "regnet_y_400mf", "swin_v2_t")


def logits(classifier: TorchClassifier) -> np.ndarray:
    pixels = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        return classifier.network(torch.from_numpy(pixels)).numpy()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each network, with its logits."""
    root = tmp_path_factory.mktemp("models")
    for name in NETWORKS:
        if name in ("vit", "average"):
            pooling = "class_token" if name == "vit" else "average"
            classifier = build_classifier(ImageSpec(64), pooling=pooling)
        else:
            classifier = build_torchvision_classifier(name)
        classifier.save(root / name)
        np.save(root / name / "logits.npy", logits(classifier))
    return root


def assert_is(classifier: TorchClassifier, folder: Path) -> None:
    """The classifier equals the one in the folder, and can be used and trained."""
    weights = dict(classifier.network.named_parameters())
    for tensor in (*weights.values(), *classifier.network.buffers()):
        assert tensor.device.type == "cpu"
        assert tensor.dtype in (torch.float32, torch.int64)
        assert not tensor.is_inference()
    assert all(weight.requires_grad for weight in weights.values())
    np.testing.assert_allclose(logits(classifier), np.load(folder / "logits.npy"), atol=1e-5)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


STATES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),  # transformers' while it loads
    "meta": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_torchs_defaults(
    state: Callable[[], AbstractContextManager[object]], name: str, models: Path
) -> None:
    folder = models / name
    with state():
        classifier = TorchClassifier.load(folder, "cpu")
        another = load_pretrained(str(folder), num_classes=3)
    assert_is(classifier, folder)
    another.network.head.load_state_dict(classifier.network.head.state_dict())
    assert_is(TorchClassifier(another.network, another.spec, classifier.classes), folder)


PROGRAM = """
import sys
from pathlib import Path

import numpy as np
import timm
import torch
import transformers

from foodvision.classifier.torch_classifier import TorchClassifier

vit = sys.argv[1]
transformers.pipeline("image-classification", model=vit)
transformers.ViTForImageClassification.from_pretrained(vit, dtype="bfloat16")
timm.create_model("vit_tiny_patch16_224", img_size=32)

pixels = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
for folder in sys.argv[1:]:
    network = TorchClassifier.load(folder, "cpu").network
    with torch.no_grad():
        logits = network(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(logits, np.load(Path(folder) / "logits.npy"), atol=1e-5)
"""


def test_after_importing_transformers_and_timm(models: Path) -> None:
    """Their changes to torch are permanent, so this runs in a separate process."""
    command = [sys.executable, "-c", PROGRAM, *(str(models / name) for name in NETWORKS)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_several_threads_at_once(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads are building an empty network while a third builds one with weights."""
    together, met = threading.Barrier(3, timeout=60), set()
    check_size = LibraryNetwork._check_size

    def meet_once(network: LibraryNetwork) -> None:
        thread = threading.get_ident()
        if thread not in met:
            met.add(thread)
            together.wait()
            together.wait()
        check_size(network)

    def build() -> list[nn.Module]:
        together.wait()
        vit = ViT(ViTConfig(32, 16, num_layers=1, hidden_size=12, num_heads=3))
        together.wait()
        return [vit, nn.Linear(2, 2)]

    monkeypatch.setattr(LibraryNetwork, "_check_size", meet_once)
    with ThreadPoolExecutor(3) as pool:
        names = ("mobilenet_v3_small", "regnet_y_400mf")
        loaded = [pool.submit(TorchClassifier.load, models / name, "cpu") for name in names]
        for network in pool.submit(build).result():
            assert not any(weight.is_meta for weight in network.parameters())
        for name, future in zip(names, loaded, strict=True):
            assert_is(future.result(), models / name)
    assert not nn.Linear(2, 2).weight.is_meta


def load_there(folder: Path) -> np.ndarray:
    return logits(TorchClassifier.load(folder, "cpu"))


def test_in_a_spawned_process(models: Path) -> None:
    folders = [models / name for name in NETWORKS]
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        for folder, found in zip(folders, pool.map(load_there, folders), strict=True):
            np.testing.assert_allclose(found, np.load(folder / "logits.npy"), atol=1e-5)
