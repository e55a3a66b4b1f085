"""A run that is stopped at any moment and resumed equals the uninterrupted run."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import torch

from foodvision import cli
from foodvision.errors import FoodvisionError, RecipeError, RunInterruptedError
from foodvision.training import fit as fit_module
from foodvision.training import prepare as prepare_module
from foodvision.training import run as run_module
from foodvision.training.checkpoint import Checkpoints
from foodvision.training.interruption import StopRequest
from foodvision.training.loop import Training
from foodvision.training.run import train
from foodvision.training.run_folder import RunFolder
from tests.child import run_program

SETTINGS = {
    "image_size": 32,
    "num_layers": 2,
    "hidden_size": 48,
    "epochs": 3,
    "batch_size": 16,
    "precision": "float32",
    "optimizer": "muon",
    "auto_augment": "randaugment",
    "erasing": 0.2,
    "stochastic_depth": 0.2,
    "dropout": 0.1,
    "mixup": 0.8,
    "cutmix": 1.0,
    "mix_probability": 0.8,
    "ema_decay": 0.9,
}
KILL = """
import os, signal, sys
from pathlib import Path
from foodvision.training.run import train
from foodvision.training import checkpoint, fit, loop
from foodvision.classifier import files
from foodvision.files import atomic

moment, data, out, settings = sys.argv[1:3] + [sys.argv[3], eval(sys.argv[4])]
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
calls = 0

def dies_at(module, name, call, checkpoints=0):
    # at this call after so many checkpoints
    real, save = getattr(module, name), checkpoint.Checkpoints.save
    saved = 0
    def counted(*args):
        nonlocal saved
        save(*args)
        saved += 1
    def wrapped(*args, **kwargs):
        global calls
        calls += saved >= checkpoints
        if calls == call:
            die()
        return real(*args, **kwargs)
    checkpoint.Checkpoints.save = counted
    setattr(module, name, wrapped)

if moment == "first step":
    dies_at(loop.Training, "_learn", 1)
elif moment == "mid-epoch":  # the last checkpoint is of the step before
    fit.CHECKPOINT_SECONDS = 0
    dies_at(loop.Training, "_learn", 7)
elif moment == "validation":
    dies_at(loop.RunningMetrics, "update", 1, checkpoints=1)
elif moment == "writing a checkpoint":
    real_save = checkpoint.torch.save
    def half(state, file):
        global calls
        calls += 1
        if calls == 2:
            file.write(b"PK half a checkpoint"); file.flush(); die()
        real_save(state, file)
    checkpoint.torch.save = half
elif moment == "just after renaming":
    real_replace = Path.replace
    def replace(self, target):
        global calls
        result = real_replace(self, target)
        calls += str(target).endswith(".pt")
        if calls == 2:
            die()
        return result
    Path.replace = replace
elif moment == "model saved, checkpoint not":
    dies_at(checkpoint.Checkpoints, "save", 2)
elif moment == "limits saved, calibrated weights not":
    dies_at(files, "save_file", 1, checkpoints=settings["epochs"])
elif moment == "calibrated weights saved, config.json not":
    dies_at(files, "write_json", 1, checkpoints=settings["epochs"])
train(data, out=out, **settings)
"""
MOMENTS = (
    "first step",
    "mid-epoch",
    "validation",
    "writing a checkpoint",
    "just after renaming",
    "model saved, checkpoint not",
    "limits saved, calibrated weights not",
    "calibrated weights saved, config.json not",
)


def sha256(folder: Path) -> str:
    files = [folder / name for name in ("model.safetensors", "unsure.safetensors")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def curves(folder: Path) -> list[list[float]]:
    keys = ("train_loss", "train_accuracy", "log_loss", "accuracy")
    lines = map(json.loads, (folder / "history.jsonl").read_text().splitlines())
    return [[line[key] for key in keys] for line in lines]


@contextmanager
def interruption(after: int) -> Iterator[None]:
    """Ctrl-C after this step, and a checkpoint of it; the run says how to resume."""
    steps = Training.steps

    def stopped(self: Training):  # type: ignore[no-untyped-def]
        for epoch in steps(self):
            yield epoch
            if self.step == after:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "steps", stopped)
        patch.setattr(fit_module, "CHECKPOINT_SECONDS", 0)
        with pytest.raises(FoodvisionError, match="resume with"):
            yield


@pytest.fixture(scope="module")
def whole(patterns: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run."""
    return train(patterns, out=tmp_path_factory.mktemp("whole") / "r", **SETTINGS).folder


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_resumed_is_the_same_run(
    moment: str, whole: Path, patterns: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r"
    killed = run_program(KILL, moment, str(patterns), str(out), repr(SETTINGS))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    train(patterns, out=out, resume=True)
    assert sha256(out) == sha256(whole)
    assert (out / "config.json").read_bytes() == (whole / "config.json").read_bytes()
    assert curves(out) == curves(whole)
    assert not list(out.rglob(".*.tmp"))
    assert len(list((out / "checkpoints").iterdir())) == 2


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 0)])
def test_stopped_within_an_epoch_and_resumed_with_other_workers(
    before: int, after: int, whole: Path, patterns: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """SIGTERM after the 6th of 12 steps: a checkpoint inside the second epoch."""
    steps = Training.steps

    def signalled(self: Training):  # type: ignore[no-untyped-def]
        for epoch in steps(self):
            if self.step == 6:
                os.kill(os.getpid(), signal.SIGTERM)
            yield epoch

    monkeypatch.setattr(Training, "steps", signalled)
    out = tmp_path / "r"
    with pytest.raises(RunInterruptedError, match=r"epoch 2 of 3; resume with: .* --resume"):
        train(patterns, out=out, num_workers=before, **SETTINGS)
    assert [path.stem for path in sorted((out / "checkpoints").iterdir())] == [
        "000000004",
        "000000006",
    ]
    monkeypatch.undo()
    train(patterns, out=out, resume=True, num_workers=after)
    assert sha256(out) == sha256(whole)
    assert curves(out) == curves(whole)


def test_resuming_a_finished_run_changes_nothing(patterns: Path, tmp_path: Path) -> None:
    settings = SETTINGS | {"epochs": 1}
    first = train(patterns, out=tmp_path / "r", **settings)
    before = sha256(tmp_path / "r")
    again = train(patterns, out=tmp_path / "r", resume=True)
    assert again.history == first.history
    assert sha256(tmp_path / "r") == before


def test_settings_that_change_the_result_are_refused(whole: Path, patterns: Path) -> None:
    with pytest.raises(RecipeError, match=r"learning_rate is 0.001 in the run .* not 0.1"):
        train(patterns, out=whole, resume=True, learning_rate="0.1")
    with pytest.raises(RecipeError, match="image_size is 32 in the run"):
        train(patterns, "demo", out=whole, resume=True)


def test_nothing_to_resume_and_an_occupied_folder(
    whole: Path, patterns: Path, tmp_path: Path
) -> None:
    with pytest.raises(FoodvisionError, match="no run to resume"):
        train(patterns, out=tmp_path / "none", resume=True)
    with pytest.raises(FoodvisionError, match="holds a run; continue it with --resume"):
        train(patterns, out=whole, **SETTINGS)


def test_resume_finds_the_only_run_of_a_dataset_or_asks_which(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(patterns, "photos")
    short = SETTINGS | {"epochs": 1}
    weights = train("photos", out="elsewhere", **short).folder
    fine = {"weights": str(weights), "epochs": 1, "batch_size": 16, "precision": "float32"}
    tuned = train("photos", **fine)
    Path("runs/broken").mkdir()
    Path("runs/broken/recipe.json").write_text("{}")
    assert train("photos", resume=True).folder == tuned.folder == Path("runs/photos-finetune")
    train("photos", **short)
    with pytest.raises(
        FoodvisionError,
        match=r"several runs of photos: runs/photos-finetune, runs/photos-scratch; say which",
    ):
        train("photos", resume=True)
    assert train("photos", resume=True, weights=str(weights)).folder == tuned.folder
    assert train("photos", resume=True, out="runs/photos-scratch").history


def test_a_new_run_is_refused_before_it_claims_the_folder(patterns: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    with (
        RunFolder(out).locked(),
        pytest.raises(FoodvisionError, match="another process is training here"),
    ):
        train(patterns, out=out, **SETTINGS)
    assert not (out / "recipe.json").exists()


def test_other_images_are_refused(whole: Path, patterns: Path, tmp_path: Path) -> None:
    data = shutil.copytree(patterns, tmp_path / "d")
    next((data / "train").rglob("*.png")).unlink()
    with pytest.raises(FoodvisionError, match="dataset has changed since this run began"):
        train(data, out=whole, resume=True)


def test_a_damaged_checkpoint_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(tmp_path / "c")
    for step in (1, 2, 3):
        checkpoints.save(step, {"step": step, "weights": torch.arange(1000)})
    newest = tmp_path / "c" / "000000003.pt"
    newest.write_bytes(newest.read_bytes()[:500])
    state = checkpoints.load()
    assert state
    assert state["step"] == 2
    assert "000000003.pt: is damaged" in caplog.text
    (tmp_path / "c" / "000000002.pt").write_bytes(b"")
    with pytest.raises(FoodvisionError, match="all checkpoints are damaged"):
        checkpoints.load()


def test_one_wrong_bit_is_detected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.save(4, {"step": 4, "weights": torch.arange(1000)})
    checkpoints.save(8, {"step": 8, "weights": torch.arange(1000)})
    newest = tmp_path / "c" / "000000008.pt"
    content = bytearray(newest.read_bytes())
    content[content.index(torch.arange(500, 600).numpy().tobytes())] ^= 64
    newest.write_bytes(content)
    state = checkpoints.load()
    assert state
    assert state["step"] == 4
    assert "000000008.pt: is damaged" in caplog.text
    checkpoints.save(
        5, state
    )  # continuing the run keeps intact checkpoints and deletes the damaged one
    assert {path.name for path in newest.parent.iterdir()} == {"000000004.pt", "000000005.pt"}


@pytest.mark.parametrize("place", range(0, 1500, 7))
def test_a_damaged_byte_never_changes_the_state(place: int, tmp_path: Path) -> None:
    """Whatever the reader makes of one wrong byte, an intact state is loaded."""
    checkpoints = Checkpoints(tmp_path / "c")
    for step in (1, 2):
        checkpoints.save(step, {"step": step, "history": [{"a": 1.5}], "w": torch.ones(2)})
    newest = tmp_path / "c" / "000000002.pt"
    content = bytearray(newest.read_bytes())
    content[place % len(content)] ^= 255
    newest.write_bytes(content)
    state = checkpoints.load()
    assert state
    assert state["step"] in (1, 2)
    assert state["history"] == [{"a": 1.5}]


def test_a_second_process_is_refused(whole: Path, patterns: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path;"
            "from foodvision.training.run_folder import RunFolder\n"
            "with RunFolder(Path(sys.argv[1])).locked():\n"
            "    print('locked', flush=True); time.sleep(60)",
            str(whole),
        ],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"locked\n"
    with pytest.raises(FoodvisionError, match="another process is training here"):
        train(patterns, out=whole, resume=True)
    holder.kill()
    holder.communicate()
    assert train(patterns, out=whole, resume=True).history


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path / 'run'}",)

    (tmp_path / "c").mkdir()
    torch.save({"step": Code()}, tmp_path / "c" / "000000001.pt")
    with pytest.raises(FoodvisionError, match="damaged"):
        Checkpoints(tmp_path / "c").load()
    assert not (tmp_path / "run").exists()


def test_a_full_disk_keeps_the_last_good_checkpoint(patterns: Path, tmp_path: Path) -> None:
    """A file size limit stands in for a full disk: the system raises a real error."""
    script = (
        "import resource, signal, sys; from foodvision import cli;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from foodvision.training import checkpoint; save = checkpoint.Checkpoints.save\n"
        "def limited(self, step, state):\n"
        "    if step > 4: resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5))\n"
        "    save(self, step, state)\n"
        "checkpoint.Checkpoints.save = limited; cli.main()"
    )
    settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    out = tmp_path / "r"
    ended = run_program(script, "train", str(patterns), *settings, "--out", str(out))
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert "cannot be written (File too large)" in last
    assert "--resume" in last
    assert "Traceback" not in ended.stderr
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["000000004.pt"]


def test_a_vanished_folder_is_one_clear_error(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Training._validate

    def vanish(self: Training):  # type: ignore[no-untyped-def]
        shutil.rmtree(tmp_path / "r")
        return measure(self)

    monkeypatch.setattr(Training, "_validate", vanish)
    with pytest.raises(FoodvisionError, match="cannot be written"):  # the best epoch so far
        train(patterns, out=tmp_path / "r", **(SETTINGS | {"epochs": 1}))
    assert not (tmp_path / "r").exists()


def test_ctrl_c_of_a_whole_terminal_stops_a_run_with_workers(
    patterns: Path, tmp_path: Path
) -> None:
    """The signal also reaches the worker processes: they must not die before the run saves."""
    out = tmp_path / "r"
    settings = [f"--set={k}={v}" for k, v in (SETTINGS | {"epochs": 200, "num_workers": 2}).items()]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "foodvision",
            "train",
            str(patterns),
            *settings,
            "--out",
            str(out),
        ],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (out / "history.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"--out {out} --resume" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("module", "step"),
    [(prepare_module, "training_splits"), (run_module, "save"), (fit_module, "calibrate")],
)
def test_interruption_before_the_first_and_after_the_last_step_says_how_to_resume(
    module: ModuleType, step: str, patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object) -> None:
        signal.raise_signal(signal.SIGINT)

    data = shutil.copytree(patterns, tmp_path / "my images")
    with monkeypatch.context() as patch:
        patch.setattr(module, step, interrupted)
        with pytest.raises(RunInterruptedError) as caught:
            train(data, out=tmp_path / "r", device="cpu", **(SETTINGS | {"epochs": 1}))
    command = shlex.split(str(caught.value).partition("resume with: ")[2])
    assert command[:2] == ["foodvision", "train"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert (tmp_path / "r" / "metrics.json").exists()


def test_a_second_signal_takes_effect_at_once() -> None:
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.made
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_run_in_a_thread_handles_no_signals() -> None:
    def enter() -> None:
        with StopRequest() as stop:
            made.append(stop.made)

    made: list[bool] = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert made == [False]


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run on the CPU, so that the arithmetic is the same on every machine."""
    choose: Callable[[str], torch.device] = lambda name: torch.device("cpu")  # noqa: E731
    monkeypatch.setattr("foodvision.training.run.choose_device", choose)
    monkeypatch.setattr("foodvision.classifier.torch_classifier.choose_device", choose)


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Enable Ctrl-C as in a terminal: background processes of a shell ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
