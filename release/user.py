"""What a user does with a wheel: from drawings to a model, a graph, a page and a running app."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from release.environment import Environment

NAMES = ["torch", "torchvision", "numpy", "accelerate", "gradio", "transformers", "onnxruntime"]
VERSIONS = f"""
import json, platform
from importlib.metadata import version
found = {{"Python": platform.python_version()}}
print(json.dumps(found | {{name: version(name) for name in {NAMES}}}))
"""
PYTHON = """
import sys
import foodvision as fv
assert fv.__file__.startswith(sys.prefix), fv.__file__
found = fv.Classifier.load("runs/a").predict("drawn/test/pizza/pizza-00000.jpg")
print(round(found.probability, 4))
"""
TRANSFORMERS = """
from transformers import pipeline
found = pipeline("image-classification", "runs/a")("drawn/test/pizza/pizza-00000.jpg")
print(round(found[0]["score"], 4))
"""


def use(environment: Environment, wheel: Path) -> None:
    """Install a wheel, first without extras, and use it; exit at the first thing that is wrong."""
    environment.install(wheel)
    _without_extras(environment)
    environment.install(wheel, "app,caption,data,export,timm")
    _with_extras(environment)
    found = json.loads(_expect(environment, "python", "-c", VERSIONS).stdout)
    versions = " · ".join(f"{name} {version}" for name, version in found.items())
    print(f"{environment.resolution}: all commands worked; {versions}", flush=True)


def _without_extras(environment: Environment) -> None:
    foodvision = "foodvision"
    _expect(environment, foodvision, "data", "get", "drawn", "--out", "drawn")
    _expect(environment, foodvision, "predict", "drawn/test/pizza/pizza-00000.jpg")  # by the box
    small = ("--set", "epochs=1", "--set", "num_layers=1", "--out", "runs/a")
    _expect(environment, foodvision, "train", "drawn", *small)
    report = _expect(environment, foodvision, "evaluate", "runs/a", "drawn", "--json")
    _check(json.loads(report.stdout)["accuracy"] > 0.5, report)
    answers = ("--model", "runs/a", "--out", "answers.csv")
    predicted = _expect(environment, foodvision, "predict", "drawn/test", *answers)
    with (environment.folder / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    _check(len(rows) == 600, predicted)
    in_python = _expect(environment, "python", "-c", PYTHON)
    (first,) = (row for row in rows if row["path"].endswith("pizza-00000.jpg"))
    _check(abs(float(in_python.stdout) - float(first["probability"])) < 1e-3, in_python)
    _expect(environment, foodvision, "explain", first["path"], "--model", "runs/a")
    _expect(environment, foodvision, "info", "runs/a")
    _expect(environment, foodvision, "paper", "table1")
    missing = environment.run(foodvision, "export", "runs/a", "--format", "onnx")
    one_line = re.fullmatch(r"foodvision: .*pip install 'foodvision\[export\]'.*\n", missing.stderr)
    _check(missing.returncode == 1 and one_line is not None, missing)


def _with_extras(environment: Environment) -> None:
    foodvision, first = "foodvision", "drawn/test/pizza/pizza-00000.jpg"
    _expect(environment, foodvision, "data", "check", "drawn", "--html", "check.html")
    to_graph = ("--format", "onnx", "--data", "drawn", "--out", "graph")
    _expect(environment, foodvision, "export", "runs/a", *to_graph)
    _expect(environment, foodvision, "compare", "runs/a", "graph", "--data", "drawn")
    _expect(environment, foodvision, "deploy", "runs/a", "--target", "static", "--dry-run")
    ours = _expect(environment, foodvision, "predict", first, "--model", "runs/a", "--json")
    theirs = _expect(environment, "python", "-c", TRANSFORMERS)
    (answer,) = json.loads(ours.stdout)
    _check(abs(float(theirs.stdout) - answer["probability"]) < 1e-3, theirs)
    _app_answers(environment)


def _app_answers(environment: Environment) -> None:
    command = [environment.bin / "foodvision", "app", "runs/a", "--no-browser"]
    with (
        (environment.folder / "app.log").open("w+") as log,
        subprocess.Popen(
            command, cwd=environment.folder, env=environment.variables, stdout=log, stderr=log
        ) as app,
    ):
        try:
            for _ in range(300):
                time.sleep(1)
                found = re.search(r"http://127\.0\.0\.1:\d+", Path(log.name).read_text())
                if found and urllib.request.urlopen(found[0], timeout=10).status == 200:
                    return
            sys.exit(f"the app did not answer:\n{Path(log.name).read_text()}")
        finally:
            app.terminate()


def _expect(environment: Environment, *words: str) -> subprocess.CompletedProcess[str]:
    ended = environment.run(*words)
    _check(ended.returncode == 0, ended)
    return ended


def _check(right: bool, ended: subprocess.CompletedProcess[str]) -> None:
    if not right:
        words = " ".join(map(str, ended.args[1:]))
        sys.exit(f"{words}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")
