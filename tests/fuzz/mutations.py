"""Changes to JSON and TOML that leave them readable, so that wrong values reach the checks."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Callable
from copy import deepcopy
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 65_537, 2**31, 2**63, 10**400, -(10**30)),
    *(0.5, -0.0, 1e-320, 1e308, "", "a", "0", "é" * 300, "\ud800", "\0", "a\nb", "../../x"),
    *([], {}, [0], [1, 2, 3], ["a"], [[]], {"a": 1}, [None] * 50, {"": {}}, {"0": "a"}),
)


def change_json(content: bytes, seed: int) -> bytes:
    """The document with a value replaced, removed, repeated or moved.

    Raises:
        ValueError: if it is not JSON.
        RecursionError: if it is nested too deeply.

    """
    changed = _changed(json.loads(content), random.Random(seed))
    return json.dumps(changed).encode("utf-8", "surrogatepass")


def change_toml(content: bytes, seed: int) -> bytes:
    """As `change_json`; what TOML cannot express is left to its parser.

    Raises:
        ValueError: if it is not TOML.
        RecursionError: if it is nested too deeply.

    """
    changed = _changed(tomllib.loads(content.decode()), random.Random(seed))
    if not isinstance(changed, dict):
        changed = {"epochs": changed}
    lines = (f"{json.dumps(key)} = {_toml(value)}\n" for key, value in changed.items())
    return "".join(lines).encode("utf-8", "surrogatepass")


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = (f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{{', '.join(inner)}}}"
    return json.dumps(value)


def _changed(document: Any, random: random.Random) -> Any:
    places = [*_places(document)] if isinstance(document, dict | list) else []
    if not places:
        return deepcopy(random.choice(VALUES))
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        parent, key = random.choice(places)
        if isinstance(parent, list) and key >= len(parent):
            continue
        match random.randrange(6):
            case 0 if isinstance(parent, dict):
                parent.pop(key, None)
            case 1 if isinstance(parent, dict):
                new = random.choice(("", "0", "foodvision", "name", f"{key}x"))
                parent[new] = deepcopy(parent.get(key))
            case 2 if isinstance(parent, list):
                parent.insert(key, deepcopy(parent[key]))
            case 3:
                other, name = random.choice(places)
                if isinstance(other, dict) and name in other:
                    parent[key] = deepcopy(other[name])
            case _:
                parent[key] = deepcopy(random.choice(VALUES))
    return document


def _places(document: Any) -> Any:
    """Each container with each of its keys."""
    keys = document.keys() if isinstance(document, dict) else range(len(document))
    for key in list(keys):
        yield document, key
        if isinstance(document[key], dict | list):
            yield from _places(document[key])


CHANGES: dict[str, Callable[[bytes, int], bytes]] = {
    **dict.fromkeys(("config.json", "preprocessor_config.json", "recipe.json"), change_json),
    "recipe": change_toml,
}
"""By the names of `tests.fuzz.parsers`."""
