"""Training on a stream: its order, what it reads, what it skips, and how it resumes."""

from __future__ import annotations

import itertools
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foodvision.data import load_dataset
from foodvision.errors import DataError, FoodvisionError, RecipeError
from foodvision.evaluation import evaluate
from foodvision.files import remote, row_groups
from foodvision.images import ImageSpec
from foodvision.training import fit as fit_module
from foodvision.training import order as order_module
from foodvision.training.batches import training_loader
from foodvision.training.memory import OpenedImages
from foodvision.training.order import StreamedTrainingBatches, epoch_order, lanes_of
from foodvision.training.run import train
from foodvision.training.settings import load_recipe
from tests.child import run_program
from tests.data.folders import warnings
from tests.data.streams import count_held, count_reads, images, write, write_stream
from tests.training.test_resume import KILL, SETTINGS, curves, interruption, sha256
from tests.training.test_run import FAST

GROUPS = np.repeat(np.arange(12), [*[8] * 5, 4, *[8] * 5, 6])
"""Of the 90 training images of `write_stream`."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_stream(tmp_path_factory.mktemp("stream"))


@pytest.fixture(scope="module")
def whole(address: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run."""
    return train(address, out=tmp_path_factory.mktemp("whole") / "r", **SETTINGS).folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    return count_reads(monkeypatch)


@pytest.mark.parametrize("lanes", [1, 4, 64])
@pytest.mark.parametrize("size", [7, 16, 90])
def test_an_epoch_has_every_image_once_in_an_order_of_its_own(lanes: int, size: int) -> None:
    order = epoch_order(GROUPS, size, lanes, seed=3, epoch=1)
    assert order.shape == (90 // size, size)
    assert len({*order.flat}) == order.size
    if 90 % size == 0:
        assert sorted(order.flat) == list(range(90))
    assert (order == epoch_order(GROUPS, size, lanes, 3, 1)).all()
    for other in ((4, 1), (3, 2)):
        assert (order != epoch_order(GROUPS, size, lanes, *other)).any()


def test_a_batch_mixes_as_many_row_groups_as_there_are_lanes() -> None:
    groups = np.repeat(np.arange(100), 50)
    order = epoch_order(groups, 32, 16, seed=0, epoch=0)
    of_batches = [len({*groups[batch]}) for batch in order]
    assert min(of_batches) >= 16
    assert max(of_batches) <= 2 * 16
    left = groups[order[:, :16]]  # the part of the first of two ranks
    assert len({*left.flat}) <= 50 + 2


def test_lanes_fit_into_the_window() -> None:
    assert lanes_of(10_000) == lanes_of(2**24) == 64
    assert lanes_of(100_000_000) == 8
    assert lanes_of(2**30) == 4


def test_ranks_divide_every_batch_and_read_it_once(
    address: str, reads: list[tuple[str, int]]
) -> None:
    images = load_dataset(address, test=False).splits["train"]
    recipe = load_recipe("scratch", {"batch_size": 30})
    assert images.stream
    whole = [*StreamedTrainingBatches(images, images.stream, recipe)]
    assert len(whole) == 3
    ranks = [[*StreamedTrainingBatches(images, images.stream, recipe, r, 2)] for r in range(2)]
    assert [list(itertools.chain(*parts)) for parts in zip(*ranks, strict=True)] == whole
    assert sorted(index for batch in whole for _, index, _ in batch) == list(range(90))
    assert all(source == images[index].source for _, index, source in whole[1])


def test_a_rank_reads_its_lanes_alone_and_holds_few_row_groups(
    address: str, reads: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_module, "LANES", 4)
    held = count_held(monkeypatch)
    images = load_dataset(address, test=False).splits["train"]
    recipe = load_recipe("scratch", {"batch_size": 16})
    assert images.stream
    for rank in range(2):
        reads.clear()
        for _ in StreamedTrainingBatches(images, images.stream, recipe, rank, 2):
            assert held.now <= 2 * 2 + 1
        assert len({*reads}) <= 12 / 2 + 2
    assert 3 <= held.peak <= 2 * 2 + 1  # two of each of two lanes, and one ahead
    assert held.now == 0


def test_position_in_an_epoch_needs_nothing_before_it(
    address: str, reads: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_module, "LANES", 2)
    monkeypatch.setattr(order_module, "FEWEST_LANES", 2)
    images = load_dataset(address, test=False).splits["train"]
    recipe = load_recipe("scratch", {"batch_size": 4, "image_size": 32})
    loader, sampler = training_loader(OpenedImages(images, ImageSpec(32)), recipe)
    sampler.epoch = 5
    complete = list(loader)
    assert len(complete) == 22
    assert len(reads) <= 12 + 2  # a row group may be in both lanes
    reads.clear()
    sampler.start = 18
    rest = list(loader)
    # Two images of each lane in four batches: at most two row groups of each, and one ahead.
    assert len(reads) <= 5
    for (x, y, *_), (other_x, other_y, *_) in zip(rest, complete[18:], strict=True):
        assert x.equal(other_x)
        assert y.equal(other_y)


def test_training_learns_and_is_evaluated(
    address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(address.removeprefix("file://"), tmp_path / "food"))
    result = train(f"file://{folder}", out=tmp_path / "r", **FAST | {"epochs": 12})
    assert result.history[-1].train_loss < 0.7 * result.history[0].train_loss
    assert result.metrics.n == 12
    assert not [line for line in warnings(caplog) if "skipped" in line]
    write(folder / "test.parquet", [*images(2000, 30)])
    report = evaluate(tmp_path / "r", f"file://{folder}")
    assert (report.n, report.split, report.trained_on) == (30, "test", None)
    assert report.accuracy > 0.5


def test_killed_within_an_epoch_and_resumed_is_the_same_run(
    whole: Path, address: str, tmp_path: Path
) -> None:
    out = tmp_path / "r"
    killed = run_program(KILL, "mid-epoch", address, str(out), repr(SETTINGS))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    train(address, out=out, resume=True)
    assert sha256(out) == sha256(whole)
    assert (out / "config.json").read_bytes() == (whole / "config.json").read_bytes()
    assert curves(out) == curves(whole)


def test_workers_change_nothing_and_read_nothing(
    whole: Path, address: str, reads: list[tuple[str, int]], tmp_path: Path
) -> None:
    out = tmp_path / "r"
    with interruption(after=7):
        train(address, out=out, num_workers=2, **SETTINGS)
    train(address, out=out, resume=True, num_workers=1)
    assert sha256(out) == sha256(whole)
    trained = [file for file, _ in reads if file.startswith("train")]
    # All 12 in each of 3 epochs and of the one that is begun twice, and once to calibrate; a row
    # group that two lanes share, with other batches between, is read twice.
    assert 4 * 12 <= len(trained) <= 5 * 12 + 12


def test_bad_images_are_named_and_have_no_weight(
    address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = write_stream(tmp_path / "d", bad=(3, 50))
    settings = SETTINGS | {"epochs": 2, "batch_size": 15}
    first = train(bad, out=tmp_path / "a", **settings)
    lines = warnings(caplog)
    for epoch in (1, 2):
        for row in ("train-00000-of-00002.parquet#3", "train-00001-of-00002.parquet#6"):
            (line,) = [x for x in lines if x.startswith(row) and x.endswith(f"in epoch {epoch}")]
            assert "not an image that can be read" in line
        assert f"epoch {epoch}: images that could not be opened and were skipped: 2" in lines
    again = train(bad, out=tmp_path / "b", num_workers=1, **settings)
    assert [e.train_loss for e in again.history] == [e.train_loss for e in first.history]
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")


def test_a_batch_without_any_image_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foodvision.training.batches.MAX_UNREADABLE", 1)
    address = write_stream(tmp_path / "d", bad=tuple(range(90)))
    sgd = {"optimizer": "sgd", "batch_size": 16, "epochs": 1, "weight_decay": 0.0}
    # Calibration has no training image to look at.
    with pytest.raises(DataError, match="no image can be opened to calibrate with"):
        train(address, out=tmp_path / "r", **FAST | sgd)
    (path,) = (tmp_path / "r" / "checkpoints").iterdir()
    state = torch.load(path, weights_only=True)["training"]
    assert state["network"]["head.weight"].abs().max() == 0  # as they began


def test_too_many_bad_images_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foodvision.training.batches.CHECKED", 30)
    address = write_stream(tmp_path / "d", bad=tuple(range(0, 90, 9)))
    with pytest.raises(
        DataError, match=r"epoch 1: \d of 3\d images cannot be opened, more than 5%"
    ):
        train(address, out=tmp_path / "r", **FAST)


def test_too_many_bad_images_of_a_short_stream_end_its_epoch_resumed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", 0)
    address = write_stream(tmp_path / "d", bad=tuple(range(0, 90, 9)))
    with interruption(after=4):
        train(address, out=tmp_path / "r", **FAST)
    for _ in range(2):
        with pytest.raises(DataError, match="epoch 1: 11% of the images cannot be opened"):
            train(address, out=tmp_path / "r", resume=True)


def test_a_store_that_fails_ends_the_run_in_one_line_and_it_resumes(
    whole: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(file: str) -> Any:
        opened.append(file)
        if len(opened) > 40:
            raise ConnectionError("reset by peer")
        return open_parts(file)

    opened: list[str] = []
    open_parts = row_groups.open_parts
    with monkeypatch.context() as patch:
        patch.setattr(row_groups, "open_parts", fails)
        patch.setattr(remote, "PAUSES", ())
        patch.setattr(fit_module, "CHECKPOINT_SECONDS", 0)
        with pytest.raises(
            FoodvisionError, match=r"(?s)^file://[^\n]*reset by peer[^\n]*--resume$"
        ):
            train(address, out=tmp_path / "r", **SETTINGS)
    train(address, out=tmp_path / "r", resume=True)
    assert sha256(tmp_path / "r") == sha256(whole)


def test_a_changed_stream_is_not_resumed(whole: Path, address: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(address.removeprefix("file://"), tmp_path / "d"))
    write(folder / "train-00000-of-00002.parquet", [*images(1, 44)])
    with pytest.raises(FoodvisionError, match="the dataset has changed since this run began"):
        train(f"file://{folder}", out=shutil.copytree(whole, tmp_path / "r"), resume=True)


def test_a_probe_of_a_stream_says_what_to_do(address: str, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--recipe finetune --set trainable=head"):
        train(address, "probe", out=tmp_path / "r", weights=str(whole))
    settings = {"trainable": "head", "epochs": 1, "batch_size": 16, "precision": "float32"}
    result = train(address, "finetune", out=tmp_path / "r", weights=str(whole), **settings)
    assert result.metrics.n == 12
