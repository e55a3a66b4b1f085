"""Faults of the world: a full disk, no home, a killed process, and what is left after each.

    .venv/bin/python -m benchmarks.faults

Runs the command line under each fault and prints what was seen. Anything but success or an error of
one line is a failure, and so is a result other than the one without the fault. Mounts small and
read-only file systems in a namespace of its own: Linux, as root.
"""

from __future__ import annotations

import csv
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import CLASSES, write_images

PROGRAM = str(Path(sys.executable).with_name("foodvision"))
SETTINGS = {"epochs": 3, "num_layers": 1, "image_size": 32, "batch_size": 8}
SMALL = [f"--set={name}={value}" for name, value in SETTINGS.items()]
RANDOM_CLOCK = """
import random, time
truth = time.time
time.time = lambda: truth() + random.uniform(-1e6, 1e6)
"""


def run(
    *words: str, cwd: Path, shell: str = "", **variables: str | None
) -> subprocess.CompletedProcess[str]:
    """Run foodvision with these words, in a shell after some lines, such as mounts and limits.

    Args:
        words: of the command line.
        cwd: the folder to run in.
        shell: lines that come first; with them comes a mount namespace.
        variables: of the environment; None removes one.

    """
    changed = {"COLUMNS": "200", **variables}
    kept = {name: value for name, value in os.environ.items() if name not in changed}
    kept |= {name: value for name, value in changed.items() if value is not None}
    lines = f'{shell}\nexec "$0" "$@"'
    command = ["unshare", "--mount", "bash", "-ec", lines, PROGRAM, *words]
    ended = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


def error(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line that it failed with."""
    assert ended.returncode == 1, (ended.returncode, ended.stdout, ended.stderr)
    found = re.findall(r"^foodvision: .*", ended.stderr, flags=re.MULTILINE)
    assert len(found) == 1, ended.stderr
    return str(found[0])


def good(ended: subprocess.CompletedProcess[str]) -> str:
    """Nothing, after success."""
    assert ended.returncode == 0, ended.stderr
    return "works"


def rows(path: Path) -> int:
    """Of a CSV file of predictions, how many images have a row; each has one."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        names = [row["path"] for row in csv.DictReader(file)]
    assert len(names) == len(set(names)), "a row twice"
    return len(names)


def full_disk_while_predicting(folder: Path) -> str:
    mount = "mkdir -p small; mount -t tmpfs -o size=4k none small"
    ended = run(*predict(folder, "small/answers.csv"), cwd=folder, shell=mount)
    return error(ended)  # the table has its name only when it is whole


def full_disk_while_training(folder: Path) -> str:
    """The run lies in a file system that fills up, and goes on when there is room."""
    disk = "mkdir -p disk; truncate -s 60M disk.img; mkfs.ext4 -q disk.img 2>/dev/null"
    subprocess.run(["bash", "-ec", disk], cwd=folder, check=True)
    mount = "mount -o loop disk.img disk"
    filled = f"{mount}; fallocate -l 46M disk/filler"
    words = ("train", "data", "--out", "disk/run", *SMALL)
    seen = error(run(*words, cwd=folder, shell=filled))
    resume = ("--resume",) if "--resume" in seen else ()
    good(run(*words, *resume, cwd=folder, shell=f"{mount}; rm disk/filler"))
    return f"{seen}; with room, it ends"


def read_only_home(folder: Path) -> str:
    (folder / "home").mkdir()
    mount = "mount --bind home home; mount -o remount,bind,ro home"
    home = {"HOME": str(folder / "home"), "HF_HOME": None, "XDG_CACHE_HOME": None}
    good(run(*predict(folder, "a.csv"), cwd=folder, shell=mount, **home))
    return good(run("train", "data", "--out", "runs/ro", *SMALL, cwd=folder, shell=mount, **home))


def no_home(folder: Path) -> str:
    nobody = {"HOME": None, "HF_HOME": None, "XDG_CACHE_HOME": None}
    return good(run(*predict(folder, "b.csv"), cwd=folder, **nobody))


def training_killed(folder: Path) -> str:
    """Killed with -9 at random moments, and resumed until it ends: the same weights."""
    words = [PROGRAM, "train", "data", "--out", "runs/killed", *SMALL]
    kills, begun = 0, folder / "runs/killed/recipe.json"
    while True:
        resume = ["--resume"] if begun.exists() else []
        process = subprocess.Popen([*words, *resume], cwd=folder, stderr=subprocess.DEVNULL)
        try:
            code = process.wait(timeout=random.uniform(5, 11) if kills < 6 else None)
            assert code == 0, f"exit code {code} after {kills} kills"
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    name = "model.safetensors"
    same = (folder / "runs/killed" / name).read_bytes() == (folder / "model" / name).read_bytes()
    assert same, "other weights"
    return f"{kills} kills; the same weights, bit for bit"


def predicting_killed(folder: Path) -> str:
    command = [PROGRAM, *predict(folder, "killed.csv"), "--batch-size", "1"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    part = folder / "killed.csv.partial"
    while process.poll() is None and not (part.exists() and part.stat().st_size > 500):
        time.sleep(0.001)
    process.kill()
    process.wait()
    before = len(part.read_text("utf-8").splitlines()) - 1
    good(run(*predict(folder, "killed.csv"), "--resume", cwd=folder))
    found = rows(folder / "killed.csv")
    assert found == 60, found
    return f"killed after {before} rows; with --resume {found} of 60 images have one"


def getting_killed(folder: Path) -> str:
    """`data get` killed while it writes; then again."""
    command = [PROGRAM, "data", "get", "drawn", "--out", "drawn"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(folder.rglob("*.jpg"))) < 500:
        time.sleep(0.1)
    process.kill()
    process.wait()
    before = len(list(folder.rglob("*.jpg")))
    for unfinished in folder.glob(".drawn.*"):
        os.utime(unfinished, (0, 0))  # it is left alone for a minute
    good(run("data", "get", "drawn", "--out", "drawn", cwd=folder))
    found = len(list((folder / "drawn").rglob("*.jpg")))
    left = [path.name for path in folder.glob("*drawn*") if path.name != "drawn"]
    assert (found, left) == (4200, []), (found, left)
    return f"killed after {before} images; again all {found}, and nothing is left of the first"


def clock_jumps(folder: Path) -> str:
    """Every look at the clock is up to twelve days off."""
    (folder / "clock").mkdir()
    (folder / "clock" / "sitecustomize.py").write_text(RANDOM_CLOCK)
    clock = {"PYTHONPATH": str(folder / "clock")}
    good(run(*predict(folder, "c.csv"), cwd=folder, **clock))
    return good(run("train", "data", "--out", "runs/clock", *SMALL, cwd=folder, **clock))


def unusual_names(folder: Path) -> str:
    """255 bytes, another alphabet, a line break, bytes that are no UTF-8."""
    image = next((folder / "data/test").rglob("*.png")).read_bytes()
    photos = folder / "unusual"
    photos.mkdir()
    names = [b"x" * 251 + b".png", "ピザ🍕.png".encode(), b"two\nlines.png", b"\xff\xfe.png"]
    for name in names:
        (photos / os.fsdecode(name)).write_bytes(image)
    good(run("predict", "unusual", "--model", "model", "--out", "u.csv", cwd=folder))
    assert rows(folder / "u.csv") == len(names)
    return f"all {len(names)} images have a row"


def names_that_differ_by_case(folder: Path) -> str:
    image = next((folder / "data/test").rglob("*.png"))
    for name in ("cases/a.png", "cases/A.png", "cases/a.PNG"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(image, folder / name)
    good(run("predict", "cases", "--model", "model", "--out", "case.csv", cwd=folder))
    assert rows(folder / "case.csv") == 3
    return "all 3 images have a row"


def links(folder: Path) -> str:
    """A class that is a link out of the folder, a link to itself, a link to nothing."""
    shutil.copytree(folder / "data", folder / "linked")
    shutil.move(folder / "linked/train" / CLASSES[0], folder / "elsewhere")
    (folder / "linked/train" / CLASSES[0]).symlink_to(folder / "elsewhere")
    other = folder / "linked/train" / CLASSES[1]
    (other / "loop").symlink_to(other)
    (other / "nothing.png").symlink_to("nowhere")
    ended = run("train", "linked", "--out", "runs/linked", *SMALL, cwd=folder)
    if ended.returncode:
        return error(ended)
    (found,) = re.findall(r"^.*nothing\.png.*$", ended.stderr, flags=re.MULTILINE)
    return f"works; {found}"


def two_runs_in_one_folder(folder: Path) -> str:
    words = [PROGRAM, "train", "data", "--out", "runs/two", *SMALL]
    pipes = {"cwd": folder, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(words, **pipes) for _ in range(2)]
    lines = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], lines
    (refused,) = (text for process, text in zip(both, lines, strict=True) if process.returncode)
    assert "Traceback" not in refused, refused
    return refused.strip().splitlines()[-1]


def two_splits_of_one_folder(folder: Path) -> str:
    shutil.copytree(folder / "data/train", folder / "flat")
    words = [PROGRAM, "data", "split", "flat"]
    both = [
        subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    lines = [process.communicate()[1] for process in both]
    assert not any("Traceback" in text for text in lines), lines
    rows = (folder / "flat/split.csv").read_text("utf-8").splitlines()
    assert len(rows) >= 121, len(rows)
    assert 0 in [process.returncode for process in both], lines
    return f"exit codes {[process.returncode for process in both]}, split.csv is whole"


def few_open_files(folder: Path) -> str:
    limit = "ulimit -n 32"
    good(run(*predict(folder, "few.csv"), cwd=folder, shell=limit))
    return good(run("train", "data", "--out", "runs/few", *SMALL, cwd=folder, shell=limit))


def reader_gone(folder: Path) -> str:
    """Standard output is a pipe that nobody reads, then a full device."""
    words = [PROGRAM, "predict", "data/test", "--model", "model", "--json"]
    piped = subprocess.run(
        ["bash", "-c", '"$0" "$@" | true; exit ${PIPESTATUS[0]}', *words],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in piped.stderr, piped.stderr
    assert piped.returncode == 1, piped.returncode
    full = run(*words[1:], cwd=folder, shell="exec >/dev/full")
    return f"exit code {piped.returncode}; full: {error(full)}"


def folder_gone(folder: Path) -> str:
    """The folder that it was started in has been deleted."""
    (folder / "gone").mkdir()
    gone = f'cd "{folder}/gone"; rmdir "{folder}/gone"'
    image = next((folder / "data/test").rglob("*.png"))
    ended = run("predict", str(image), "--model", str(folder / "model"), cwd=folder, shell=gone)
    return error(ended) if ended.returncode else good(ended)


def ascii_terminal(folder: Path) -> str:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "LANG": None}
    return good(run("predict", "unusual", "--model", "model", cwd=folder, **plain))


def truncated_checkpoint(folder: Path) -> str:
    """The last checkpoint of an interrupted run has lost its second half."""
    shutil.copytree(folder / "runs/two", folder / "runs/cut")
    (folder / "runs/cut/model.safetensors").unlink()
    newest = max((folder / "runs/cut/checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    good(run("train", "data", "--out", "runs/cut", *SMALL, "--resume", cwd=folder))
    name = "model.safetensors"
    same = (folder / "runs/cut" / name).read_bytes() == (folder / "model" / name).read_bytes()
    assert same, "other weights"
    return "resumed from the one before it, to the same weights"


FAULTS: list[Callable[[Path], str]] = [
    full_disk_while_predicting,
    full_disk_while_training,
    read_only_home,
    no_home,
    training_killed,
    predicting_killed,
    getting_killed,
    clock_jumps,
    unusual_names,
    names_that_differ_by_case,
    links,
    two_runs_in_one_folder,
    two_splits_of_one_folder,
    few_open_files,
    reader_gone,
    folder_gone,
    ascii_terminal,
    truncated_checkpoint,
]


def predict(folder: Path, out: str) -> tuple[str, ...]:
    """The words that classify the test images."""
    return "predict", str(folder / "data/test"), "--model", str(folder / "model"), "--out", out


def main() -> None:
    """Print a line for each fault."""
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for label in CLASSES:
            write_images(folder / "data/train", label, range(40))
            write_images(folder / "data/test", label, range(100, 120))
        good(run("train", "data", "--out", "model", *SMALL, cwd=folder))
        for fault in FAULTS:
            name = fault.__name__.replace("_", " ")
            try:
                print(f"{name}: {fault(folder)}".replace(temporary, "…"), flush=True)
            except AssertionError as wrong:
                failed += 1
                print(f"{name}: FAILED: {wrong}".replace(temporary, "…"), flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
