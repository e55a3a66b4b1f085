"""Two processes, as on two devices or machines: torch.distributed's gloo on the CPU."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from foodvision.training.run import train
from tests.child import run_ranks
from tests.data.streams import write_stream
from tests.training.test_run import FAST

# Images are mixed with their neighbours, which another rank has; 15 is odd, so the ranks' parts of
# a batch differ. Dropout is drawn by each rank, so there is none.
SETTINGS = FAST | {
    **{"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 15, "epochs": 4},
    **{"mixup": 0.8, "cutmix": 1.0, "num_layers": 1, "accumulate": 2, "ema_decay": 0.9},
}
WORDS = ["--device", "cpu", *(f"--set={key}={value}" for key, value in SETTINGS.items())]
SHARDED = ["--set=sharded=true"]

TRAIN = "from foodvision.cli import main; main()"
READS_NOTHING = """
import os
from foodvision.data import inventory
from foodvision.training import memory
if os.environ["RANK"] == "1":
    inventory.open_image = memory.open_pixels = None
"""
KILLED = """
import os, signal
from foodvision.training import fit
from foodvision.training.loop import Training
fit.CHECKPOINT_SECONDS = 0
learn = Training._learn
def dies(self, *batch):
    if self.step == 10 and os.environ["RANK"] in {ranks}:  # in the last epoch
        os.kill(os.getpid(), signal.SIGKILL)
    return learn(self, *batch)
Training._learn = dies
"""


def tensors_of(run: Path) -> list[Any]:
    """Weights, averages and optimiser states after the last step."""
    state = torch.load(max((run / "checkpoints").iterdir()), weights_only=True)["training"]
    return [state["network"], state["average"], [each["state"] for each in state["optimizers"]]]


def assert_equal(run: Path, expected: Path) -> None:
    """Equal tensors and history, up to the order of sums."""
    found, wanted = tensors_of(run), tensors_of(expected)
    assert wanted[0]["head.weight"].abs().max() > 1e-3
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    lines = [(folder / "history.jsonl").read_text().splitlines() for folder in (run, expected)]
    for epoch, other in zip(*(map(json.loads, of_run) for of_run in lines), strict=True):
        for name in ("train_loss", "train_accuracy", "log_loss", "accuracy"):
            assert epoch[name] == pytest.approx(other[name], abs=1e-5)


@pytest.fixture(scope="module")
def one(patterns: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    return train(
        patterns, out=tmp_path_factory.mktemp("one") / "run", device="cpu", **SETTINGS
    ).folder


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """For each of two ranks, its own disk."""
    found = [tmp_path / name for name in ("0", "1")]
    for folder in found:
        folder.mkdir()
    return found


@pytest.mark.parametrize("words", [[], SHARDED], ids=["whole", "sharded"])
def test_two_ranks_make_the_run_of_one(
    words: list[str], one: Path, patterns: Path, folders: list[Path]
) -> None:
    program = READS_NOTHING + TRAIN
    ended = run_ranks(folders, program, "train", str(patterns), "--out", "run", *WORDS, *words)
    assert [rank.returncode for rank in ended] == [0, 0], ended
    assert "Next: foodvision evaluate run" in ended[0].stdout
    assert not ended[1].stdout + ended[1].stderr
    assert_equal(folders[0] / "run", one)
    assert not any(folders[1].iterdir())  # the run is on the disk of rank 0 alone


def test_two_ranks_stream_as_one(folders: list[Path], tmp_path: Path) -> None:
    """Each reads its part of every batch; what cannot be opened has no weight on either."""
    bad = {3: "train-00000-of-00002.parquet#3", 50: "train-00001-of-00002.parquet#6"}
    address = write_stream(tmp_path / "data", tuple(bad))
    one = train(address, out=tmp_path / "one", device="cpu", **SETTINGS).folder
    ended = run_ranks(folders, TRAIN, "train", address, "--out", "run", *WORDS)
    assert [rank.returncode for rank in ended] == [0, 0], ended
    assert_equal(folders[0] / "run", one)
    said = ended[0].stderr + ended[1].stderr
    for name in bad.values():
        assert said.count(f"{name}: not an image") == SETTINGS["epochs"]
    files = ("split.csv", "recipe.json")
    assert all((folders[0] / "run" / f).read_bytes() == (one / f).read_bytes() for f in files)


@pytest.mark.parametrize(
    ("ranks", "before", "after"),
    [("1", [], SHARDED), ("0 1", SHARDED, [])],
    ids=["whole to sharded", "sharded to one"],
)
def test_killed_ranks_are_one_line_and_any_number_resumes(
    ranks: str,
    before: list[str],
    after: list[str],
    one: Path,
    patterns: Path,
    folders: list[Path],
    tmp_path: Path,
) -> None:
    program = KILLED.format(ranks=ranks.split()) + TRAIN
    words = ["train", str(patterns), "--out", "run", *WORDS, *before]
    ended = run_ranks(folders, program, *words, per_machine=1)
    for rank, process in enumerate(ended):
        assert process.returncode == (-signal.SIGKILL if str(rank) in ranks else 130)
    if ranks == "1":
        (line,) = [line for line in ended[0].stderr.splitlines() if "foodvision:" in line]
        assert "a process of this run was lost" in line
        assert "the same command with --resume" in line
        assert "Traceback" not in ended[0].stderr
        launched = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    else:
        launched = [sys.executable]
    shutil.copytree(folders[0] / "run", tmp_path / "run")
    command = [*launched, "-m", "foodvision", "train", str(patterns), "--resume"]
    resumed = subprocess.run(
        [*command, "--out", str(tmp_path / "run"), "--device", "cpu", *after],
        check=False,
        capture_output=True,
        text=True,
    )
    assert resumed.returncode == 0, f"{shlex.join(command)}: {resumed.stderr}"
    assert "resuming after step 10" in resumed.stderr
    assert_equal(tmp_path / "run", one)
