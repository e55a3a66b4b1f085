"""Weights from a local web server: interrupted, resumed, refused, kept."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from timm.models import save_for_hf
from torchvision.models import MobileNet_V3_Small_Weights, ViT_B_32_Weights

from foodvision.errors import ModelError
from foodvision.files import download
from foodvision.images import ImageSpec
from foodvision.models.vit import ViT
from foodvision.weights.from_torchvision import published_weights, remote_file
from foodvision.weights.source import load_pretrained
from tests.files.web import Web, closed_port, hang_up_after, wrong_bytes
from tests.models.test_library import assert_same_logits, build_torchvision
from tests.weights.hub import Hub
from tests.weights.test_source import assert_same, torchvision_state, vit

SOURCE = "torchvision:vit_b_32/IMAGENET1K_V1"


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSES", (0.01,) * 4)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture(scope="module")
def network() -> ViT:
    return vit(224, num_classes=1000)


@pytest.fixture
def web(network: ViT, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Serve a small version of torchvision's vit_b_32 file, under a name with its hash."""
    file = io.BytesIO()
    torch.save(torchvision_state(network), file)
    content = file.getvalue()
    server = Web(content, f"vit_b_32-{hashlib.sha256(content).hexdigest()[:8]}.pth")
    monkeypatch.setattr(ViT_B_32_Weights.IMAGENET1K_V1.value, "url", server.url)
    yield server
    server.stop()


def test_torchvisions_file_is_resumed_and_kept_in_torchs_cache(
    web: Web, network: ViT, tmp_path: Path
) -> None:
    web.faults = [hang_up_after(300_000)]
    loaded = load_pretrained(SOURCE)
    assert web.ranges == [None, "bytes=300000-"]
    assert web.sent == len(web.content)
    assert (loaded.spec.size, loaded.spec.resize_size) == (224, 256)
    assert_same(loaded.network, network, 224)
    name = web.url.rsplit("/", 1)[-1]
    assert [path.name for path in (tmp_path / "torch/hub/checkpoints").iterdir()] == [name]
    load_pretrained(SOURCE)
    assert len(web.ranges) == 2


def test_a_file_with_another_hash_is_refused(web: Web, tmp_path: Path) -> None:
    web.faults = [wrong_bytes]
    with pytest.raises(ModelError, match=r"sent another file \(42 bytes, SHA-256 prefix \w{8}\)"):
        load_pretrained(SOURCE)
    assert not any((tmp_path / "torch/hub/checkpoints").iterdir())
    load_pretrained(SOURCE)


def test_without_a_network_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{closed_port()}/vit_b_32-d86f8d99.pth"
    monkeypatch.setattr(ViT_B_32_Weights.IMAGENET1K_V1.value, "url", url)
    with pytest.raises(ModelError) as caught:
        load_pretrained(SOURCE)
    path = tmp_path / "torch/hub/checkpoints/vit_b_32-d86f8d99.pth"
    assert str(caught.value) == (
        f"{SOURCE}: {url}: cannot be reached (Connection refused); try again, or put the file with "
        f"SHA-256 prefix d86f8d99, at most 353.0 MB, at {path} yourself and run this again"
    )


def test_another_torchvision_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_torchvision(
        "mobilenet_v3_small"
    ).half()  # so that it is smaller than the file it replaces
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    content = file.getvalue()
    name = f"mobilenet_v3_small-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    web = Web(content, name)
    weights = MobileNet_V3_Small_Weights.IMAGENET1K_V1
    monkeypatch.setattr(weights.value, "url", web.url)
    source = "torchvision:mobilenet_v3_small/IMAGENET1K_V1"
    try:
        web.faults = [wrong_bytes, hang_up_after(300_000)]
        with pytest.raises(ModelError, match=r"sent another file \(42 bytes"):
            load_pretrained(source)
        loaded = load_pretrained(source)
        assert web.ranges == [None, None, "bytes=300000-"]
        assert loaded.spec == ImageSpec(
            224, "crop", 256, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        )
        assert loaded.classes == tuple(weights.meta["categories"])
        assert_same_logits(loaded.network, network.float().eval(), 224)
        assert [path.name for path in (tmp_path / "torch/hub/checkpoints").iterdir()] == [name]
        head = load_pretrained(source, num_classes=3, image_size=(96, 64)).network.head
        assert torch.equal(head.weight, torch.zeros(3, 1024))
        assert len(web.ranges) == 3
    finally:
        web.stop()


def test_every_published_file_has_a_hash_and_a_size() -> None:
    files = [remote_file(weights) for weights in published_weights()]
    assert len(files) > 100
    assert len({file.name for file in files}) == len(files)
    for file in files:
        assert file.url == f"https://download.pytorch.org/models/{file.name}"
        assert 4e6 < file.max_bytes < 3e9


NAME = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("repository")
    network = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=3)
    save_for_hf(network, folder, safe_serialization=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(
    repository: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """Set what HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE set; those are read at import."""
    server = Hub(f"timm/{NAME}", repository | {"pytorch_model.bin": b"not wanted"})
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    yield server
    server.stop()


def test_the_hubs_file_is_resumed_and_kept_in_its_cache(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.hang_up_after = [300_000]
    loaded = load_pretrained(f"timm:{NAME}")
    assert loaded.spec.resize_size == 35
    weights = [start for name, start in hub.asked if name == "model.safetensors"]
    assert weights[0] == 0
    assert 200_000 < weights[1] <= 300_000
    assert {name for name, _ in hub.asked} == {"config.json", "model.safetensors"}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.asked)
    load_pretrained(f"timm:{NAME}")
    load_pretrained(f"hub:timm/{NAME}")
    assert len(hub.asked) == asked


def test_the_hubs_file_of_another_hash_is_refused(hub: Hub, repository: dict[str, bytes]) -> None:
    right = repository["model.safetensors"]
    hub.files["model.safetensors"] = right[:-4] + b"evil"  # of the right size
    with pytest.raises(ModelError, match=r"is damaged \(SHA-256 \w{64}, not \w{64}\) and was rem"):
        load_pretrained(f"timm:{NAME}")
    hub.files["model.safetensors"] = right
    load_pretrained(f"timm:{NAME}")


def test_files_missing_from_the_cache_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    reason = rf"download config.json, model.safetensors .* from {hub.url}/timm/{NAME} into a folder"
    with pytest.raises(ModelError, match=reason) as caught:
        load_pretrained(f"timm:{NAME}")
    assert "\n" not in str(caught.value)
    assert hub.asked == []
