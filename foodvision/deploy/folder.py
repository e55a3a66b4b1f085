"""The folder of a Space: an app or a page, a model, the program's own source, and a card."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path

from foodvision.apps.space import EXAMPLES, MODEL
from foodvision.apps.uploads import copy_examples, find_examples
from foodvision.classifier.licence import Licence
from foodvision.deploy import Target, What
from foodvision.deploy.contents import Contents, write_model
from foodvision.deploy.plan import Plan
from foodvision.deploy.requirements import PYTHON, requirements
from foodvision.deploy.space_card import CARD, SDK, TAG, check_card, read_card, space_card
from foodvision.errors import FoodvisionError
from foodvision.files.atomic import new_folder
from foodvision.text import to_markdown
from foodvision.weights.box import BOX

log = logging.getLogger(__name__)

MAX_DIFFERENCE = 1e-3
"""Of a probability, between the model and its copy."""

_APPS = {
    (Target.CPU, What.CLASSIFY): """\
from foodvision.apps.space import serve

serve(__file__, {title!r})
""",
    (Target.ZEROGPU, What.CLASSIFY): """\
import spaces  # before torch
from foodvision.apps.space import serve

serve(__file__, {title!r}, spaces.GPU)
""",
    (Target.CPU, What.CAPTION): """\
from foodvision.apps.space import serve_captions

serve_captions(__file__, {model!r})
""",
    (Target.ZEROGPU, What.CAPTION): """\
import spaces  # before torch
from foodvision.apps.space import serve_captions

serve_captions(__file__, {model!r}, spaces.GPU)
""",
}

_ANSWER = """\
import json, sys
from foodvision import drawings
from foodvision.classifier.classifier import Classifier
classifier = Classifier.load(sys.argv[1], "cpu")
print(json.dumps(classifier.predict(drawings.draw_image("pizza", seed=0)).probabilities))
"""
"""A program that runs in the folder, and so with the source that lies there."""

_CAPTION = """\
import sys
from foodvision import drawings
from foodvision.captioning.captioner import Captioner
print(Captioner.load(sys.argv[1], "cpu").caption(drawings.draw_image("pizza", seed=0)).captions)
"""

_BODY = """\
# {title}

{about}
## Licences

The program, foodvision, is under the MIT licence. {weights}
{privacy}"""

_PRIVACY = {
    Target.STATIC: "Images are classified in the visitor's browser. None leaves the device.",
    Target.ZEROGPU: "Images are kept for some minutes, and at most until the Space stops.",
    Target.CPU: "Images are kept for some minutes, and at most until the Space stops.",
}


def write_space(plan: Plan, licence: Licence, out: Path) -> None:
    """Write the folder of a Space, and check it; nothing is sent anywhere.

    Args:
        plan: what it contains.
        licence: of the weights.
        out: a folder that is new, empty or an older one of a Space, which is replaced.

    Raises:
        FoodvisionError: if `out` is something else, a package is missing, or the copy of the model
            does not answer as the model does.
        DataError: if there are no examples.
        ModelError: if there is no such model, or it does not suit the target.

    """
    examples = find_examples(plan.examples) if plan.examples else []
    if not _is_replaceable(out):
        raise FoodvisionError(f"{out}: already exists and is not a Space; choose another --out")
    with new_folder(out) as folder:
        contents = write_model(plan, folder)
        _write_card(plan, contents, licence, folder)
        if plan.target is not Target.STATIC:
            _write_program(plan, contents, folder)
            if examples:
                (folder / EXAMPLES).mkdir()
                copy_examples(examples, folder / EXAMPLES)
                log.warning("the examples will be public: put online only what you may")
            if contents.known:
                check_answer(folder, contents.known)
            elif contents.hub_model is None:
                _run(folder, _CAPTION)
        check_card(folder)
        if out.exists():
            shutil.rmtree(out)


def num_bytes(folder: Path) -> int:
    """Of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _is_replaceable(out: Path) -> bool:
    if not out.exists():
        return True
    header = read_card(out)  # a model's has the tag too, and no sdk
    is_ours = header is not None and TAG in (header.tags or []) and header.sdk in SDK.values()
    return out.is_dir() and (is_ours or not any(out.iterdir()))


def _write_card(plan: Plan, contents: Contents, licence: Licence, folder: Path) -> None:
    body = _BODY.format(
        title=to_markdown(contents.title),
        about=contents.about,
        weights=to_markdown(licence.sentence),
        privacy=f"\n## Privacy\n\n{_PRIVACY[plan.target]}\n",
    )
    gradio = "" if plan.target is Target.STATIC else version("gradio")
    card = space_card(
        plan.target,
        PYTHON[plan.target],
        gradio,
        contents.title,
        licence.identifier,
        contents.hub_model,
        contents.preload,
        body,
    )
    (folder / CARD).write_text(card, encoding="utf-8")


def _write_program(plan: Plan, contents: Contents, folder: Path) -> None:
    """Write app.py, what it imports, and what that requires."""
    app = _APPS[plan.target, plan.what]
    app = app.format(title=contents.title, model=contents.hub_model or MODEL)
    (folder / "app.py").write_text(app, encoding="utf-8")
    lines = requirements(plan.target, plan.what, contents.libraries)
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with as_file(files("foodvision")) as source:
        # The Space has its own model, so it does not need foodvision/box as well.
        left_out = shutil.ignore_patterns("__pycache__", "*.pyc", BOX)
        shutil.copytree(source, folder / "foodvision", ignore=left_out)


def check_answer(folder: Path, known: dict[str, float]) -> None:
    """Let the copied program answer with the copied model, as it will in the Space.

    Args:
        folder: of the Space.
        known: the model's own probabilities for a drawn pizza.

    Raises:
        FoodvisionError: if they differ, or it does not run.

    """
    answer = json.loads(_run(folder, _ANSWER))
    difference = max(abs(answer[name] - value) for name, value in known.items())
    if answer.keys() != known.keys() or difference > MAX_DIFFERENCE:
        raise FoodvisionError(
            f"the folder answers differently from the model: a probability differs by "
            f"{difference:.1e}"
        )


def _run(folder: Path, program: str) -> str:
    """What a program prints that runs where app.py will."""
    command = [sys.executable, "-B", "-c", program, MODEL]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or "no reason").splitlines()[-1]
        raise FoodvisionError(f"the folder does not work: {reason}")
    return done.stdout
