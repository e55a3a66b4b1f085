"""What a run shows while it takes its steps: a bar for each epoch, and what each brought."""

from __future__ import annotations

import logging
from collections.abc import Generator

from foodvision.progress import duration, progress_bar
from foodvision.training.epoch import Epoch, best_of
from foodvision.training.loop import Training

log = logging.getLogger(__name__)


def show_steps(training: Training, history: list[Epoch]) -> Generator[Epoch | None, None, None]:
    """The steps, with a bar for each epoch, and a row or a log line for each that is done."""
    recipe, accelerator = training.recipe, training.accelerator
    if not accelerator.is_main_process:
        yield from training.steps()
        return
    images, n = len(training.loader) * recipe.batch_size, recipe.epochs
    begun = len(history) + bool(training.batch)  # a part of an epoch tells no time
    with progress_bar() as bar:
        name = f"epoch {training.epoch + 1}/{n}, training"
        done = training.batch * recipe.batch_size  # before the run was interrupted
        task = bar.add_task(name, total=images, completed=done, unit="images", info="")
        if bar.console:
            bar.console.print(_HEADER)
        for epoch in training.steps():
            if epoch is None and training.step % 5 == 0:  # reading the loss waits for the device
                done = training.batch * recipe.batch_size
                bar.update(
                    task, completed=done, info=f"loss {float(training.means['loss'][-1]):.3f}"
                )
            if epoch:
                best = best_of([*history, epoch])
                left = _time_left([*history, epoch][begun:], images, n - epoch.epoch)
                if bar.console:
                    bar.console.print(_row(epoch, n, best, left))
                else:
                    log.info(_line(epoch, n, best, left))
                name = f"epoch {min(n, epoch.epoch + 1)}/{n}, training"
                bar.reset(task, description=name, info="")
            yield epoch


def _time_left(timed: list[Epoch], images: int, epochs: int) -> str:
    """Until the end of the run: epochs with their validation, and the last measurement."""
    if not timed or not epochs:
        return ""
    seconds = sum(epoch.seconds for epoch in timed)
    validation = seconds - sum(images / epoch.images_per_second for epoch in timed)
    return duration((seconds * epochs + validation) / len(timed))


_HEADER = "  epoch   training loss   validation log loss   accuracy   best epoch    time   left"


def _row(epoch: Epoch, epochs: int, best: Epoch, left: str) -> str:
    return (
        f"{epoch.epoch:>3}/{epochs:<3}{epoch.train_loss:>16.4f}{epoch.log_loss:>22.4f}"
        f"{epoch.accuracy:>11.1%}{best.epoch:>13}{duration(epoch.seconds):>8}   {left}"
    )


def _line(epoch: Epoch, epochs: int, best: Epoch, left: str) -> str:
    return (
        f"epoch {epoch.epoch}/{epochs}: training loss {epoch.train_loss:.4f}, validation log loss "
        f"{epoch.log_loss:.4f}, accuracy {epoch.accuracy:.1%}, best {best.log_loss:.4f} in epoch "
        f"{best.epoch}; {duration(epoch.seconds)}{left and f', about {left} left'}"
    )
