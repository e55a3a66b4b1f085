"""From a source's name to a network: every family, another head or resolution, bad files."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf
from torch import Tensor, nn

from foodvision.errors import ModelError
from foodvision.images import ImageSpec
from foodvision.models.config import ViTConfig
from foodvision.models.library import LibraryNetwork
from foodvision.models.vit import ViT
from foodvision.paper.parity import write_npz
from foodvision.weights.layouts import GOOGLE, TORCHVISION
from foodvision.weights.source import load_pretrained, read_checkpoint
from tests.conftest import build_classifier

IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def vit(image_size: int = 64, num_classes: int = 5) -> ViT:
    """Small, but with a width from Table 1, so that the number of heads is known."""
    torch.manual_seed(1)
    config = ViTConfig.named(
        "vit_ti32", num_layers=2, mlp_size=96, image_size=image_size, num_classes=num_classes
    )
    network = ViT(config)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.2)
    return network.eval()


def torchvision_state(network: ViT) -> dict[str, Tensor]:
    """Use the names in torchvision's published files, which are older than its state_dict's."""
    state = TORCHVISION.write(network.state_dict(), network.config)
    old = {".mlp.0.": ".mlp.linear_1.", ".mlp.3.": ".mlp.linear_2."}
    for new, published in old.items():
        state = {name.replace(new, published): tensor for name, tensor in state.items()}
    return state


def assert_same(network: nn.Module, reference: Callable[[Tensor], Tensor], size: int) -> None:
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected = reference(x)
        torch.testing.assert_close(network(x), expected, rtol=0, atol=2e-5)
    assert expected.std() > 0.1


@pytest.mark.parametrize(
    ("name", "size", "spec"),
    [
        ("vit_b_32-d86f8d99.pth", 224, ImageSpec(224, "crop", 256, "bilinear", **IMAGENET)),
        ("vit_l_16-852ce7e3.pth", 224, ImageSpec(224, "crop", 242, "bilinear", **IMAGENET)),
        ("vit_b_16_swag-9ac1b537.pth", 384, ImageSpec(384, "crop", 384, "bicubic", **IMAGENET)),
    ],
)
def test_torchvisions_files_are_known_by_name(
    name: str, size: int, spec: ImageSpec, tmp_path: Path
) -> None:
    network = vit(size, num_classes=1000)
    torch.save(torchvision_state(network), tmp_path / name)
    loaded = load_pretrained(str(tmp_path / name))
    assert loaded.spec == spec
    assert loaded.classes is not None
    assert loaded.classes[963] == "pizza"
    assert_same(loaded.network, network, size)


def test_torchvision_layout_under_another_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = vit()
    save_file(torchvision_state(network), tmp_path / "mine.safetensors")
    with caplog.at_level(logging.INFO):
        loaded = load_pretrained(str(tmp_path / "mine.safetensors"))
    assert loaded.spec == ImageSpec(64, "crop", 73, **IMAGENET)
    assert "mine.safetensors does not describe its images; assuming torchvision's" in caplog.text
    assert loaded.classes is None
    assert_same(loaded.network, network, 64)


@pytest.fixture(scope="module")
def timm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    network = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=3)
    nn.init.normal_(network.head.weight, std=0.1)
    folder = tmp_path_factory.mktemp("timm")
    save_for_hf(network, folder, {"label_names": ["a", "b", "c"]}, safe_serialization=True)
    return folder


def build_timm(folder: Path) -> nn.Module:
    network = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=3).eval()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network


@pytest.mark.parametrize("file", ["", "/model.safetensors"])
def test_timms_repository(file: str, timm_folder: Path) -> None:
    loaded = load_pretrained(f"{timm_folder}{file}")
    assert loaded.spec == ImageSpec(32, "crop", 35, "bicubic")  # crop_pct 0.9
    assert loaded.classes == ("a", "b", "c")
    assert_same(loaded.network, build_timm(timm_folder), 32)


def test_timms_file_alone(timm_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.symlink_to(timm_folder / "model.safetensors")
    loaded = load_pretrained(str(file))
    assert (loaded.spec, loaded.classes) == (ImageSpec(32, "crop", 35, "bicubic"), None)
    assert_same(loaded.network, build_timm(timm_folder), 32)


def test_a_timm_backbone_has_no_head_for_its_named_classes(
    timm_folder: Path, tmp_path: Path
) -> None:
    assert read_checkpoint(str(timm_folder)).has_head_for(("a", "b", "c"))
    assert not read_checkpoint(str(timm_folder)).has_head_for(("c", "b", "a"))
    (tmp_path / "config.json").write_text((timm_folder / "config.json").read_text())
    tensors = load_file(timm_folder / "model.safetensors")
    backbone = {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}
    save_file(backbone, tmp_path / "model.safetensors")
    assert not read_checkpoint(str(tmp_path)).has_head_for(("a", "b", "c"))
    assert not load_pretrained(str(tmp_path), num_classes=3).network.head.weight.any()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pretrained_cfg": {}}, r"pretrained_cfg is damaged \(KeyError\('input_size'\)\)"),
        ({"label_names": ["a", "b"]}, "2 class names for 3 logits"),
    ],
)
def test_damaged_timm_repositories(
    changes: dict[str, Any], reason: str, timm_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").symlink_to(timm_folder / "model.safetensors")
    config = json.loads((timm_folder / "config.json").read_text()) | changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=reason):
        load_pretrained(str(tmp_path))


@pytest.fixture
def backbone(tmp_path: Path) -> transformers.ViTModel:
    """Like google/vit-base-patch16-224-in21k: no head, and the hidden layer in the pooler."""
    torch.manual_seed(1)
    network = transformers.ViTModel(
        transformers.ViTConfig(
            image_size=32,
            patch_size=8,
            num_hidden_layers=2,
            num_attention_heads=3,
            hidden_size=24,
            intermediate_size=52,
        )
    ).eval()
    network.save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    return network


def test_a_backbone_gets_a_new_head_and_loses_its_hidden_layer_in_one_line(
    backbone: transformers.ViTModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        loaded = load_pretrained(str(tmp_path), num_classes=3)
    assert [record.getMessage() for record in caplog.records] == [
        "vit.pooler.dense.weight: dropping the hidden layer before the old head"
    ]
    assert loaded.spec == ImageSpec(32, "squash")
    assert loaded.classes is None
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = backbone(x).last_hidden_state[:, 0]
        torch.testing.assert_close(loaded.network.features(x), expected, rtol=0, atol=1e-5)
        assert torch.equal(loaded.network(x), torch.zeros(2, 3))
    with pytest.raises(ModelError, match="it has no head: give the number of classes"):
        load_pretrained(str(tmp_path))


def test_the_authors_file(tmp_path: Path) -> None:
    network, path = vit(), tmp_path / "B_32.npz"
    write_npz(network, path)
    loaded = load_pretrained(str(path))
    assert (loaded.spec, loaded.classes) == (ImageSpec(64, "squash", None, "bilinear"), None)
    assert_same(loaded.network, network, 64)


def test_the_authors_hidden_layer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network, path = vit(), tmp_path / "B_32.npz"
    arrays = write_npz(network, path)
    np.savez(path, **arrays, **{"pre_logits/kernel": np.eye(192), "pre_logits/bias": np.ones(192)})
    with pytest.raises(ModelError, match="pre_logits/kernel: a hidden layer before the head, whi"):
        load_pretrained(str(path))
    with caplog.at_level(logging.INFO):
        loaded = load_pretrained(str(path), num_classes=3)
    assert [record.getMessage() for record in caplog.records] == [
        "pre_logits/kernel: dropping the hidden layer before the old head"
    ]
    assert_same(loaded.network.features, network.features, 64)


def test_a_saved_classifier_is_a_source(tmp_path: Path) -> None:
    for pooling in ("class_token", "average"):
        classifier = build_classifier(pooling=pooling)
        classifier.save(tmp_path / pooling)
        loaded = load_pretrained(str(tmp_path / pooling))
        assert (loaded.spec, loaded.classes) == (classifier.spec, classifier.classes)
        assert_same(loaded.network, classifier.network, 32)


def test_another_resolution(tmp_path: Path) -> None:
    network, path = vit(224, num_classes=1000), tmp_path / "vit_b_32-d86f8d99.pth"
    torch.save(torchvision_state(network), path)
    loaded = load_pretrained(str(path), num_classes=2, image_size=(448, 320))
    assert loaded.network.config.grid == (14, 10)
    assert loaded.spec == ImageSpec((448, 320), "crop", 512, "bilinear", **IMAGENET)
    state, original = loaded.network.state_dict(), network.state_dict()
    assert state["embedding.E_pos"].shape == (1, 141, 192)
    for name in original.keys() - {"embedding.E_pos", "head.weight", "head.bias"}:
        assert torch.equal(state[name], original[name]), name
    assert loaded.network(torch.zeros(1, 3, 448, 320)).shape == (1, 2)
    for weight in loaded.network.parameters():  # it can be trained and saved
        assert weight.requires_grad
        assert weight.is_contiguous()
    with pytest.raises(ModelError, match="image_size 225 is not a multiple of patch_size 32"):
        load_pretrained(str(path), image_size=225)


def test_one_empty_network_is_built_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(torchvision_state(vit(224, num_classes=1000)), tmp_path / "vit_b_32-d86f8d99.pth")
    resnet = torchvision.models.resnet18().state_dict()
    torch.save(resnet, tmp_path / "resnet18-f37072fd.pth")
    build_classifier().save(tmp_path / "saved")
    built = []
    init = nn.Module.__init__

    def count(module: nn.Module, *args: Any, **kwargs: Any) -> None:
        if isinstance(module, ViT | LibraryNetwork):
            built.append(module)
        init(module, *args, **kwargs)

    monkeypatch.setattr(nn.Module, "__init__", count)
    for source in ("vit_b_32-d86f8d99.pth", "resnet18-f37072fd.pth", "saved"):
        load_pretrained(str(tmp_path / source), num_classes=3, image_size=64)
        assert built == [built[0]]
        built.clear()


class Code:
    """Runs code when an unsafe reader unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def swap(state: dict[str, Any], one: str, other: str) -> dict[str, Any]:
    return state | {one: state[other], other: state[one]}


MLP = "encoder.layers.encoder_layer_1.mlp.linear_"
WITHOUT_CLASS_TOKEN = "encoder.pos_embedding: 4 positions are not a square grid and a class token"
BAD: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "a CNN's": (
        lambda _: torchvision.models.resnet18().state_dict(),
        "not a Vision Transformer of .* it begins with conv1.weight",
    ),
    "nothing": (lambda _: {}, "are not a Vision Transformer of"),
    "a whole network": (lambda _: nn.Linear(2, 2), "Python objects beside its tensors, which are"),
    "more than tensors": (lambda s: s | {"epoch": 3}, "is not a state_dict"),
    "swapped layers": (
        lambda s: swap(s, f"{MLP}1.weight", f"{MLP}2.weight"),
        r"encoder_layer_1\.mlp\.0\.weight has shape \(192, 96\), not \(96, 192\)",
    ),
    "one missing": (
        lambda s: {n: t for n, t in s.items() if n != f"{MLP}2.bias"},
        r"lack encoder\.layers\.encoder_layer_1\.mlp\.3\.bias",
    ),
    "a first one missing": (
        lambda s: {n: t for n, t in s.items() if n != "encoder.ln.bias"},
        r"lack encoder\.ln\.bias",
    ),
    "one too many": (
        lambda s: s | {"fc_norm.bias": s["encoder.ln.bias"]},
        "hold fc_norm.bias, which the network does not have",
    ),
    "no class token's position": (
        lambda s: s | {"encoder.pos_embedding": s["encoder.pos_embedding"][:, 1:]},
        WITHOUT_CLASS_TOKEN,
    ),
    "another width": (
        lambda _: torchvision_state(
            ViT(ViTConfig(64, 32, num_layers=1, hidden_size=24, num_heads=3, num_classes=2))
        ),
        "hidden size 24 is not in Table 1",
    ),
    "grey images": (
        lambda s: s | {"conv_proj.weight": s["conv_proj.weight"][:, :1]},
        r"conv_proj\.weight has shape \(192, 1, 32, 32\), not \(192, 3, 18, 18\)",
    ),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
def test_bad_checkpoints_are_one_clear_line(
    content: Callable[[dict[str, Tensor]], object], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content(torchvision_state(vit())), path)
    assert_refused(path, reason)


def assert_refused(path: Path, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        load_pretrained(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_pickle_is_not_run(legacy: bool, tmp_path: Path) -> None:
    evil, path = tmp_path / "was run", tmp_path / "weights.pth"
    state = torchvision_state(vit()) | {"x": Code(evil)}
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    assert_refused(path, "holds Python objects beside its tensors")
    path.write_bytes(pickle.dumps(Code(evil)))
    assert_refused(path, "holds Python objects beside its tensors")
    np.savez(tmp_path / "weights.npz", cls=np.array([Code(evil)], dtype=object))
    assert_refused(tmp_path / "weights.npz", r"weights.npz is damaged \(Object arrays cannot be")
    (tmp_path / "weights.npz").write_bytes(pickle.dumps(Code(evil)))
    assert_refused(tmp_path / "weights.npz", r"weights.npz is damaged")
    assert not evil.exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files(share: float, tmp_path: Path) -> None:
    network, content = vit(), io.BytesIO()
    torch.save(torchvision_state(network), content)
    write_npz(network, tmp_path / "weights.npz")
    save_file(torchvision_state(network), tmp_path / "weights.safetensors")
    (tmp_path / "weights.pth").write_bytes(content.getvalue())
    for suffix in ("npz", "safetensors", "pth"):
        path = tmp_path / f"weights.{suffix}"
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        assert_refused(path, f"weights.{suffix} is damaged")


class Zeros:
    """Fills the memory when it is unpickled, by a call that torch allows."""

    def __reduce__(self) -> tuple[object, ...]:
        return bytearray, (10**7,)


def zip_bomb(path: Path, source: Path) -> None:
    """A copy of an archive with 40 MB of zeros more, which are compressed to 40 kB."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
        new.writestr(f"{Path(old.namelist()[0]).parent}/zeros.npy", bytes(40_000_000))


def test_small_files_do_not_fill_the_memory(tmp_path: Path) -> None:
    state, path = torchvision_state(vit()), tmp_path / "weights.pth"
    kernel = "conv_proj.weight"
    too_much = r"weights\.\w+ has .* MB and would take .* MB of memory"
    torch.save(state | {kernel: torch.zeros(1).expand(192, 3, 10_000, 32)}, path)
    assert_refused(path, too_much)
    shared = torch.zeros(10**5)
    torch.save({f"tensor{i}": shared for i in range(100)}, path)
    assert_refused(path, too_much)
    torch.save(state | {kernel: torch.zeros(2, device="meta")}, path)
    assert_refused(path, "conv_proj.weight is not a dense tensor on the CPU")
    for legacy in (False, True):
        torch.save({"a": Zeros()}, path, _use_new_zipfile_serialization=not legacy)
        assert_refused(path, "holds Python objects beside its tensors")
    torch.save(state, tmp_path / "whole.pth")
    np.savez(tmp_path / "whole.npz", cls=np.zeros(9))
    for suffix in ("pth", "npz"):
        zip_bomb(tmp_path / f"weights.{suffix}", tmp_path / f"whole.{suffix}")
        assert_refused(tmp_path / f"weights.{suffix}", too_much)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("suffix", ["npz", "safetensors", "pth"])
def test_weights_that_are_not_finite_are_refused(suffix: str, value: float, tmp_path: Path) -> None:
    network, path = vit(), tmp_path / f"weights.{suffix}"
    with torch.no_grad():
        network.norm.bias[5] = value
    state = torchvision_state(network)
    if suffix == "npz":
        write_npz(network, path)
    elif suffix == "pth":
        torch.save(state, path)
    else:
        save_file({name: tensor.half() for name, tensor in state.items()}, path)
    assert_refused(path, "(ln|encoder_norm).bias holds NaN or infinity; the weights are damaged")
    with torch.no_grad():
        network.norm.bias[5] = 3e38  # finite, though sums of such are not
        network.norm.bias[6] = 3e38
    torch.save(torchvision_state(network), tmp_path / "finite.pth")
    load_pretrained(str(tmp_path / "finite.pth"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs")
@pytest.mark.parametrize("suffix", ["npz", "safetensors", "pth"])
def test_what_is_no_regular_file_is_refused_at_once(suffix: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"weights.{suffix}")
    assert_refused(tmp_path / f"weights.{suffix}", r"cannot be read \(not a regular file")


def test_swapped_arrays_are_reported_by_the_authors_names(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    arrays = write_npz(vit(), path)
    attention = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1"
    np.savez(path, **swap(arrays, f"{attention}/out/kernel", f"{attention}/query/kernel"))
    assert_refused(path, rf"{attention}/query/kernel has shape \(3, 64, 192\), not \(192, 3, 64\)")
    del arrays["Transformer/encoder_norm/scale"]
    np.savez(path, **arrays)
    assert_refused(path, "lack Transformer/encoder_norm/scale")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("torchvision:vit_b_16", "torchvision has vit_b_16/IMAGENET1K_V1, vit_b_16/IMAGENET1K_SW"),
        (
            "torchvision:efficientnet_b2/DEFAULT",
            "torchvision has efficientnet_b2/IMAGENET1K_V1$",
        ),
        (
            "torchvision:efficientnetb2/IMAGENET1K_V1",
            "no network 'efficientnetb2' that can be used here; the nearest weights are "
            "efficientnet_b2/IMAGENET1K_V1, [a-z0-9_]+/[A-Z0-9_]+, [a-z0-9_]+/[A-Z0-9_]+$",
        ),
        ("torchvision:squeezenet1_0/IMAGENET1K_V1", "no network 'squeezenet1_0' that can be used"),
        ("torchvision:vgg16/IMAGENET1K_FEATURES", "torchvision has vgg16/IMAGENET1K_V1$"),
        ("timm:vit_base_patch16_224", "weights of timm have a tag, as in vit_base_patch16_224.au"),
        ("hub:nobody", "hub:nobody: no such model folder"),
        ("hub:nobody/nothing", "cannot be downloaded from the Hub .* give that folder"),
        ("nowhere.npz", r"^nowhere\.npz: no such file or folder$"),
        ("nowhere", r"^nowhere: no such file or folder; other weights are torchvision:NETWORK/"),
        ("./nowhere", r"^\./nowhere: no such file or folder$"),
        ("a/b/nowhere", "^a/b/nowhere: no such file or folder$"),
        ("some/folder", "such file or folder; a repository on the Hub is hub:some/folder$"),
        (__file__, r"a file of weights ends in \.safetensors, \.pth, \.npz$"),
    ],
)
def test_invalid_sources(source: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        load_pretrained(source)
    assert "\n" not in str(caught.value)


def test_transformers_file_needs_its_config(tmp_path: Path) -> None:
    classifier = build_classifier()
    classifier.save(tmp_path)
    weights = tmp_path / "model.safetensors"
    assert_same(load_pretrained(str(weights)).network, classifier.network, 32)
    (tmp_path / "config.json").unlink()
    assert_refused(weights, r"there is no config\.json beside it")


def test_only_the_authors_arrays_are_written() -> None:
    """The format holds every tensor of a `ViT`; otherwise the file would be incomplete."""
    network = vit()
    written = GOOGLE.write(network.state_dict(), network.config)
    count = sum(tensor.numel() for tensor in written.values())
    assert count == sum(weight.numel() for weight in network.parameters())
