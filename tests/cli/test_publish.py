"""`foodvision deploy` and `push`: what is refused, in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from foodvision.cli.publish import _beside
from tests.cli.conftest import Result


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["deploy", "MODEL", "--target", "static", "--what", "caption"], "cannot caption"),
        (["deploy", "nowhere", "--target", "cpu"], "no such model folder"),
        (["deploy", "MODEL", "--target", "cpu", "--vendor", "."], "--vendor is for"),
        (["push", "nowhere", "me/model"], "no such model folder"),
        (["push", "MODEL", "me/model"], "not logged in"),
    ],
)
def test_what_is_refused(
    run: Callable[..., Result],
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    reason: str,
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    result = run(*(str(model) if word == "MODEL" else word for word in command))
    assert result.code == 1
    assert reason in result.err
    assert len(result.err.splitlines()) == 1


def test_a_dry_run_sends_nothing(
    run: Callable[..., Result], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foodvision.deploy.folder.check_answer", lambda folder, known: None)
    words = ["deploy", model, "--target", "zerogpu", "--space", "me/food", "--dry-run"]
    result = run(*words)
    assert result.code == 0, result.err
    assert "Nothing was sent" in result.out
    assert (model.parent / "model-zerogpu/app.py").is_file()


@pytest.mark.parametrize(
    ("model", "expected"),
    [("runs/a", "runs/a-static"), ("runs/a/", "runs/a-static"), ("o/name", "name-static")],
)
def test_the_default_folder_is_beside_the_model(
    model: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs/a/checkpoints").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert _beside(model, "static") == Path(expected)
    monkeypatch.chdir("runs/a/checkpoints")
    for name in ("..", "../"):
        assert _beside(name, "static") == tmp_path / "runs/a-static"
    assert _beside(".", "static") == tmp_path / "runs/a/checkpoints-static"
