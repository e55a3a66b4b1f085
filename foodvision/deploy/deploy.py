"""A Space, from a plan to an answer: its folder, the Hub, a running app, one call."""

from __future__ import annotations

import logging
import tempfile
import zipfile
from pathlib import Path

from foodvision import drawings
from foodvision.classifier.licence import Licence
from foodvision.deploy import Target, What
from foodvision.deploy.contents import licence_of_weights
from foodvision.deploy.folder import num_bytes, write_space
from foodvision.deploy.hub import Hub
from foodvision.deploy.plan import Plan
from foodvision.deploy.space_card import HARDWARE, SDK
from foodvision.errors import FoodvisionError, HubError
from foodvision.files.atomic import replacing
from foodvision.files.web import WebError, read_url
from foodvision.text import printable

log = logging.getLogger(__name__)

MAX_PAGE_BYTES = 10_000_000


def deploy(
    plan: Plan,
    out: Path,
    space: str | None = None,
    make_zip: bool = False,
    private: bool = False,
    non_commercial: bool = False,
) -> list[str]:
    """Write the folder of a Space, and put it online.

    Args:
        plan: what it contains.
        out: see `write_space`.
        space: OWNER/NAME; None: nothing is sent.
        make_zip: also write ``OUT.zip``, for an upload by hand.
        private: visible to the owner alone.
        non_commercial: publish weights whose licence forbids commercial use.

    Returns:
        What was done, as lines to read.

    Raises:
        FoodvisionError: as `write_space` does, or if the licence is not accepted.
        HubError: if the Hub refuses, cannot be reached, or the Space does not run.

    """
    hub = Hub()
    exists = space is not None and _may_write(hub, space, plan)  # before long work
    licence = licence_of_weights(plan)
    if space is not None:
        check_licence(licence, non_commercial)
    elif licence.forbids_commerce:
        log.warning("%s", licence.sentence)
    write_space(plan, licence, out)
    done = [f"{out}: {num_bytes(out) / 1e6:.1f} MB, checked"]
    if make_zip:
        path = write_zip(out)
        done.append(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    if space is None:
        return done
    if not exists:
        hub.create(space, private, plan.target)
    commit = hub.upload(out, space, "space")
    address = hub.wait(space, commit)
    answer = call_page(address) if plan.target is Target.STATIC else call_app(address, plan.what)
    return [*done, f"{address}: {answer}"]


def _may_write(hub: Hub, space: str, plan: Plan) -> bool:
    """Ask whether the Space may be created, or filled anew; returns whether it exists."""
    account = hub.log_in(space.partition("/")[0])
    found = hub.find(space, "space")
    if found is None:
        hub.check_may_create(account, plan.target, plan.what)
        return False
    sdk, runtime = getattr(found, "sdk", None), getattr(found, "runtime", None)
    hardware = (runtime.hardware or runtime.requested_hardware) if runtime else None
    zerogpu = HARDWARE[Target.ZEROGPU]
    other = hardware and (hardware == zerogpu) != (plan.target is Target.ZEROGPU)
    if sdk not in (None, SDK[plan.target]) or other:
        raise HubError(
            f"{space}: is a {sdk} Space{f' on {hardware}' if hardware else ''}, not what --target "
            f"{plan.target} needs; choose another name, or delete it first"
        )
    return True


def check_licence(licence: Licence, non_commercial: bool) -> None:
    """Say what the licence forbids, before anything is built or sent.

    Raises:
        FoodvisionError: if that has not been accepted.

    """
    if not licence.forbids_commerce:
        return
    if not non_commercial:
        raise FoodvisionError(
            f"{licence.sentence} Nothing was sent; --non-commercial sends it, for a use that is "
            "not commercial"
        )
    log.warning("%s", licence.sentence)


def write_zip(folder: Path) -> Path:
    """Write the files of a folder into an archive beside it; without its name, as an upload wants.

    Raises:
        OSError: if it cannot be written.

    """
    path = folder.with_name(f"{folder.name}.zip")
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as z:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                z.write(file, file.relative_to(folder))
    return path


def call_app(address: str, what: What) -> str:
    """Send a drawing to a running app, and return its answer as text.

    Raises:
        HubError: if it does not answer.

    """
    from gradio_client import Client, handle_file

    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "pizza.png"
        drawings.draw_image("pizza", seed=0).save(image)
        try:
            client = Client(address, verbose=False, analytics_enabled=False, download_files=folder)
            if what is What.CLASSIFY:
                answer = client.predict(handle_file(image), api_name="/predict")
            else:
                answer = client.predict(handle_file(image), prefix="", api_name="/caption")
        except Exception as error:  # the client's, httpx's, the app's
            raise HubError(f"{address}: does not answer ({error})") from error
    first = answer[0] if isinstance(answer, (tuple, list)) else answer
    said = first.get("label") if isinstance(first, dict) else first
    return printable(f"runs, and says of a drawn pizza: {said}")


def call_page(address: str) -> str:
    """Read the page of a static Space.

    Raises:
        HubError: if it is not there.

    """
    try:
        page = read_url(address, MAX_PAGE_BYTES, 60)
    except WebError as error:
        raise HubError(f"{address}: {error}") from error
    return f"its page has {len(page):,} bytes"
