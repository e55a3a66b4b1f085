"""The Hub: what an account may create there, a repository that is filled, and a Space that runs.

Everything that can go wrong on the way becomes a HubError of one line. Whatever was interrupted is
continued by the same command: what the Hub has already is not sent again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import HfApi, SpaceStage, constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.hf_api import ModelInfo, SpaceInfo

from foodvision.deploy import Target, What
from foodvision.deploy.space_card import HARDWARE, SDK, TAG
from foodvision.errors import FoodvisionError, HubError
from foodvision.progress import duration

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0

BUILD_SECONDS = 1800
"""The Hub itself ends a Space that is not running after half an hour."""

LOG_LINES = 40

_STILL = {
    *(SpaceStage.BUILDING, SpaceStage.RUNNING_BUILDING),
    *(SpaceStage.APP_STARTING, SpaceStage.RUNNING_APP_STARTING),
}

_MAX_ZEROGPU = {"free": 2, "pro": 10, "paid": 50}
"""Spaces on ZeroGPU: of a free account, of PRO, of an organisation that pays."""

_ADVICE = {
    401: "the Hub does not accept the token: make one with write access at "
    "huggingface.co/settings/tokens, then hf auth login",
    402: "this account may not create it: a Space with --target static is free, and two with "
    "--target zerogpu are; a Gradio Space on a CPU needs a paid plan",
    403: "this token or account may not write there",
    409: "the name is taken; choose another",
    413: "the Hub takes no files of this size",
    429: "too many requests: wait some minutes",
}


class Account(NamedTuple):
    """Who writes."""

    owner: str
    plan: str
    """A key of `_MAX_ZEROGPU`."""
    verified: bool
    """Its e-mail address."""


class Hub:
    """The Hub, as the account that is logged in."""

    def __init__(self) -> None:
        self.api = HfApi(endpoint=constants.ENDPOINT)

    def log_in(self, owner: str) -> Account:
        """Ask the Hub who this is.

        Args:
            owner: a user or an organisation, whose repositories are to be written.

        Raises:
            HubError: if the token is not one that may.

        """
        with asking(owner):
            who = self.api.whoami()
        token = (who.get("auth") or {}).get("accessToken") or {}
        if token.get("role") == "read":
            raise HubError(f"{owner}: the token may only read; make one with write access")
        if who.get("name") == owner:
            verified = bool(who.get("emailVerified", True))
            return Account(owner, "pro" if who.get("isPro") else "free", verified)
        for group in who.get("orgs") or []:
            if group.get("name") == owner:
                pays = group.get("plan") or group.get("isEnterprise")
                return Account(owner, "paid" if pays else "free", verified=True)
        raise HubError(
            f"{owner}: the token belongs to {who.get('name')}, who is not a member of this "
            "organisation"
        )

    def check_may_create(self, account: Account, target: Target, what: What) -> None:
        """Ask for what the Hub would refuse, before anything is sent.

        Args:
            account: of `log_in`.
            target: of a Space that does not exist yet.
            what: its app.

        Raises:
            HubError: naming what the Hub would accept.

        """
        owner = account.owner
        free = "--target static, which needs no server and is free"
        if what is What.CAPTION:
            free = "a server of your own"
        if target is Target.CPU and account.plan == "free":
            raise HubError(
                f"{owner}: an account without a paid plan cannot create a Gradio Space on a CPU; "
                f"use {free}, or --target zerogpu, which is free for two Spaces"
            )
        if target is not Target.ZEROGPU:
            return
        if not account.verified:
            raise HubError(f"{owner}: ZeroGPU needs a verified e-mail address")
        used = self._count_zerogpu(owner)
        if used >= _MAX_ZEROGPU[account.plan]:
            raise HubError(
                f"{owner}: has {used} Spaces on ZeroGPU, all that it may have; delete one, or use "
                f"{free}"
            )

    def _count_zerogpu(self, owner: str) -> int:
        with asking(owner):
            spaces = list(self.api.list_spaces(author=owner, expand=["runtime"]))
        running = (space.runtime for space in spaces if space.runtime)
        return sum(HARDWARE[Target.ZEROGPU] in (r.hardware, r.requested_hardware) for r in running)

    def find(self, name: str, kind: str) -> SpaceInfo | ModelInfo | None:
        """What is there under this name; None if nothing that this account can see.

        Args:
            name: as in OWNER/NAME.
            kind: ``space`` or ``model``.

        Raises:
            HubError: if foodvision did not write it: it is not touched.

        """
        with asking(name):
            try:
                found: Any = self.api.repo_info(name, repo_type=kind)
            except RepositoryNotFoundError:
                return None
        tags = {*(found.tags or []), *(getattr(found.card_data, "tags", None) or [])}
        files = {sibling.rfilename for sibling in found.siblings or []}
        if TAG not in tags and files - {".gitattributes", "README.md"}:
            raise HubError(f"{name}: exists, and foodvision did not write it; choose another name")
        return found

    def create(self, name: str, private: bool, target: Target | None = None) -> None:
        """Create an empty model repository, or a Space.

        Args:
            name: as in OWNER/NAME.
            private: visible to its owner alone.
            target: of a Space; None for a model.

        Raises:
            HubError: with the Hub's reason.

        """
        space: dict[str, Any] = {}
        if target:
            space = {
                "repo_type": "space",
                "space_sdk": SDK[target],
                "space_hardware": HARDWARE[target],
            }
        with asking(name):
            self.api.create_repo(name, private=private, **space)

    def upload(self, folder: Path, name: str, kind: str) -> str:
        """Send a folder; what an earlier one had and this one lacks is deleted there.

        Returns:
            The commit.

        Raises:
            HubError: with the reason; run again, it sends what is missing.

        """
        with asking(name):
            commit = self.api.upload_folder(
                repo_id=name,
                folder_path=folder,
                repo_type=kind,
                commit_message="foodvision",
                delete_patterns="*",
            )
        return commit.oid

    def wait(self, name: str, commit: str) -> str:
        """Wait until a Space runs a commit.

        Returns:
            Its address.

        Raises:
            HubError: if it fails or takes too long; its log is printed.

        """
        log.info("%s: the Hub builds it; this takes some minutes", name)
        started = time.monotonic()
        while True:
            with asking(name):
                runtime = self.api.get_space_runtime(name)
            # Until a build begins, the Hub tells of the commit before.
            if runtime.stage not in _STILL and runtime.raw.get("sha", commit) == commit:
                break
            if time.monotonic() - started > BUILD_SECONDS:
                raise HubError(f"{name}: is still {runtime.stage} after {duration(BUILD_SECONDS)}")
            time.sleep(POLL_SECONDS)
        if runtime.stage != SpaceStage.RUNNING:
            self._show_log(name, build=runtime.stage != SpaceStage.RUNTIME_ERROR)
            reason = runtime.raw.get("errorMessage") or "its log is above"
            raise HubError(f"{name}: {runtime.stage}: {reason}")
        log.info("%s: runs after %s", name, duration(time.monotonic() - started))
        with asking(name):
            info = self.api.space_info(name)
        return info.host or f"{constants.ENDPOINT}/spaces/{name}"

    def _show_log(self, name: str, build: bool) -> None:
        try:
            lines = deque(self.api.fetch_space_logs(name, build=build), maxlen=LOG_LINES)
        except Exception as error:  # the reason that counts is the stage
            log.warning("%s: its log cannot be read (%s)", name, _first_line(error))
            return
        for line in lines:
            log.warning("%s", line.rstrip("\n"))


@contextmanager
def asking(name: str) -> Iterator[None]:
    """Turn all that can go wrong between here and the Hub into a HubError about a repository."""
    try:
        yield
    except FoodvisionError:
        raise
    except LocalTokenNotFoundError as error:
        raise HubError(
            f"{name}: you are not logged in to the Hub: hf auth login, with a token that may write"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        said = error.server_message or _first_line(error)
        advice = _ADVICE.get(status, "run the same command again" if status >= 500 else "")
        raise HubError(f"{name}: the Hub answered {status}: {said}; {advice}") from error
    except HFValidationError as error:
        raise HubError(f"{name}: is not a repository name (OWNER/NAME)") from error
    except ValueError as error:  # of the card's header
        raise HubError(f"{name}: {' '.join(str(error).split())}") from error
    except Exception as error:  # httpx's, the system's, hf_xet's
        raise HubError(
            f"{name}: the connection to the Hub was lost ({_first_line(error)}); run the same "
            "command again: what has arrived is not sent twice"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
