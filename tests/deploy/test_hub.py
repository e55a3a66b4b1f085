"""Spaces and models against a local stand-in for the Hub."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from foodvision.classifier.licence import Licence, licence_behind
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.deploy import Target
from foodvision.deploy import deploy as stages
from foodvision.deploy.deploy import deploy
from foodvision.deploy.plan import Plan
from foodvision.deploy.push import push
from foodvision.errors import FoodvisionError, HubError
from foodvision.files.atomic import write_json
from foodvision.weights.repository import find_repository, read_json
from tests.deploy.hub import Hub


@pytest.fixture(autouse=True)
def no_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is checked elsewhere, and no Space really runs."""
    monkeypatch.setattr("foodvision.deploy.folder.check_answer", lambda folder, known: None)
    monkeypatch.setattr(stages, "call_app", lambda address, what: f"{what} answers")


def plan(model: Path, target: Target = Target.ZEROGPU) -> Plan:
    return Plan(str(model), target)


def test_a_space_is_created_filled_awaited_and_called(
    hub: Hub, saved: Path, tmp_path: Path
) -> None:
    lines = deploy(plan(saved), tmp_path / "out", "me/food")
    space = hub.repositories["spaces/me/food"]
    assert space.created["sdk"] == "gradio"
    assert space.created["hardware"] == "zero-a10g"
    assert space.header["python_version"] == "3.12.12"
    assert space.header["sdk"] == "gradio"
    weights = (saved / "model.safetensors").read_bytes()
    assert space.files["model/model.safetensors"] == weights
    assert weights in hub.objects.values()
    assert b"spaces.GPU" in space.files["app.py"]
    assert "foodvision/apps/space.py" in space.files
    assert not any("__pycache__" in path or "split.csv" in path for path in space.files)
    assert lines[-1] == f"{hub.url}/running: classify answers"


def write_little(plan: Plan, licence: Licence, out: Path) -> None:
    out.mkdir(exist_ok=True)
    (out / "README.md").write_text("---\ntags: [foodvision]\n---\n")


def test_a_cpu_space_of_a_free_account_is_refused_before_anything_is_sent(
    hub: Hub, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "write_space", write_little)
    with pytest.raises(HubError, match="use --target static, which needs no server and is free"):
        deploy(plan(saved, Target.CPU), tmp_path / "out", "me/food")
    assert hub.repositories == {}
    hub.account["isPro"] = True
    deploy(plan(saved, Target.CPU), tmp_path / "out", "me/food")
    assert hub.repositories["spaces/me/food"].created["hardware"] == "cpu-basic"


def test_a_static_space_is_free(
    hub: Hub, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "write_space", write_little)
    lines = deploy(plan(saved, Target.STATIC), tmp_path / "out", "me/food")
    assert hub.repositories["spaces/me/food"].created["sdk"] == "static"
    assert "hardware" not in hub.repositories["spaces/me/food"].created
    assert lines[-1] == f"{hub.url}/running: its page has 6 bytes"


def test_what_only_the_hub_knows_is_refused_by_it(
    hub: Hub, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "write_space", write_little)
    hub.account["isPro"] = True  # so it says, and yet
    monkeypatch.setattr(hub, "refuses_compute", lambda content: True)
    with pytest.raises(HubError, match=r"402: .*requires a PRO.*--target static is free"):
        deploy(plan(saved, Target.CPU), tmp_path / "out", "me/food")


def test_a_wrong_token(
    hub: Hub, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match="does not accept the token"):
        deploy(plan(saved), tmp_path / "out", "me/food")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="not logged in"):
        push(saved, "me/model")


def test_a_token_that_may_not_write(hub: Hub, saved: Path) -> None:
    hub.account["auth"]["accessToken"]["role"] = "read"
    with pytest.raises(HubError, match="may only read"):
        push(saved, "me/model")
    hub.account["auth"]["accessToken"]["role"] = "write"
    with pytest.raises(HubError, match="not a member of this organisation"):
        push(saved, "others/model")
    assert hub.repositories == {}


def test_too_many_spaces_on_zerogpu(hub: Hub, saved: Path, tmp_path: Path) -> None:
    hub.zerogpu = 2
    with pytest.raises(HubError, match="has 2 Spaces on ZeroGPU"):
        deploy(plan(saved), tmp_path / "out", "me/food")


def test_a_taken_name_is_left_alone(hub: Hub, saved: Path, tmp_path: Path) -> None:
    deploy(plan(saved), tmp_path / "out", "me/food")
    space = hub.repositories["spaces/me/food"]
    space.files["README.md"] = b"---\ntitle: Another\n---\n"
    before = dict(space.files)
    with pytest.raises(HubError, match="foodvision did not write it"):
        deploy(plan(saved), tmp_path / "out", "me/food")
    assert space.files == before
    hub.hidden = {"spaces/me/private"}
    with pytest.raises(HubError, match="the name is taken"):
        deploy(plan(saved), tmp_path / "out", "me/private")


def test_a_lost_connection_is_made_good_by_the_same_command(
    hub: Hub, saved: Path, tmp_path: Path
) -> None:
    hub.lost_after, hub.lost_times = 10_000, 100
    with pytest.raises(HubError, match=r"connection to the Hub was lost .* run the same"):
        deploy(plan(saved), tmp_path / "out", "me/food")
    assert "README.md" not in hub.repositories["spaces/me/food"].files
    hub.lost_after = None
    deploy(plan(saved), tmp_path / "out", "me/food")
    assert "app.py" in hub.repositories["spaces/me/food"].files
    assert hub.asked.count("POST /api/repos/create") == 1


def test_a_second_deployment_replaces_what_is_old_and_sends_only_what_is_new(
    hub: Hub, saved: Path, tmp_path: Path
) -> None:
    deploy(plan(saved), tmp_path / "out", "me/food")
    space = hub.repositories["spaces/me/food"]
    space.files["old.txt"] = b"old"
    hub.asked.clear()
    deploy(plan(saved), tmp_path / "out", "me/food")
    assert "old.txt" not in space.files
    assert ".gitattributes" in space.files
    assert not any("/upload/" in asked for asked in hub.asked)


def test_a_space_does_not_change_its_hardware(
    hub: Hub, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "write_space", write_little)
    deploy(plan(saved), tmp_path / "out", "me/food")
    for target in (Target.STATIC, Target.CPU):
        with pytest.raises(HubError, match=f"is a gradio Space on zero-a10g, not what .* {target}"):
            deploy(plan(saved, target), tmp_path / "out", "me/food")


def test_a_failed_build_shows_its_log(
    hub: Hub, saved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.stages, hub.log = ["BUILDING", "BUILD_ERROR"], ["ERROR: ResolutionImpossible"]
    with caplog.at_level(logging.WARNING), pytest.raises(HubError, match="BUILD_ERROR"):
        deploy(plan(saved), tmp_path / "out", "me/food")
    assert "ResolutionImpossible" in caplog.text


def test_weights_that_forbid_commerce_are_said_before_anything_is_sent(
    hub: Hub, trained: TorchClassifier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    licence = licence_behind("torchvision:vit_b_16/IMAGENET1K_SWAG_E2E_V1")
    swag = TorchClassifier(trained.network, trained.spec, trained.classes)
    swag.info = swag.info.model_copy(update={"origin": licence.origin})
    swag.save(tmp_path / "tuned")
    with pytest.raises(FoodvisionError, match="forbids commercial use"):
        push(tmp_path / "tuned", "me/model")
    with pytest.raises(FoodvisionError, match="forbids commercial use"):
        deploy(plan(tmp_path / "tuned"), tmp_path / "out", "me/food")
    assert not (tmp_path / "out").exists()
    assert hub.repositories == {}
    push(tmp_path / "tuned", "me/model", non_commercial=True)
    model = hub.repositories["models/me/model"]
    assert model.header["license"] == "cc-by-nc-4.0"
    assert str(tmp_path).encode() not in b"".join(model.files.values())


def test_a_model_on_the_hub(hub: Hub, saved: Path) -> None:
    address, size = push(saved, "me/model", private=True)
    model = hub.repositories["models/me/model"]
    assert address == f"{hub.url}/me/model"
    assert model.created["visibility"] == "private"
    assert size == sum(map(len, model.files.values())) - 1  # .gitattributes
    assert model.files["model.safetensors"] == (saved / "model.safetensors").read_bytes()
    assert 'load("me/model")' in model.files["README.md"].decode()
    assert "foodvision" in model.header["tags"]


def test_an_export_on_the_hub(hub: Hub, saved: Path, tmp_path: Path) -> None:
    """Of an export, `Classifier.load` needs every graph that its config.json lists."""
    export, names = tmp_path / "export", ("image.onnx", "model.onnx", "model.onnx_data")
    (export / "onnx").mkdir(parents=True)
    for name in names:
        (export / "onnx" / name).write_bytes(name.encode())
    config = read_json(saved / "config.json")
    runs: dict[str, object] = {"limits": {}, "checks": {}}
    config["foodvision"]["export"] = runs | {"runs": ["onnx/float32"]}
    write_json(export / "config.json", config)
    push(export, "me/export")
    hub.account["auth"] = {}
    files = hub.repositories["models/me/export"].files
    assert files.keys() >= {"config.json", "README.md", *(f"onnx/{name}" for name in names)}
    folder = find_repository("me/export")
    assert (folder / "onnx/image.onnx").read_bytes() == b"image.onnx"


def test_no_hub(hub: Hub, saved: Path) -> None:
    hub.stop()
    with pytest.raises(HubError, match="connection to the Hub was lost"):
        push(saved, "me/model")


def test_a_name_that_is_none(hub: Hub, saved: Path) -> None:
    with pytest.raises(HubError, match="OWNER/NAME"):
        push(saved, "me/no name")
