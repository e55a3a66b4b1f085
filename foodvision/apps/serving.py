"""An app, its API and its MCP server at an address, until they are interrupted."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from foodvision.apps.body_limit import BodyLimit
from foodvision.apps.uploads import MAX_UPLOAD_MB, private_folder, swept
from foodvision.errors import FoodvisionError

if TYPE_CHECKING:
    import gradio as gr

MAX_WAITING = 64

MAX_SESSIONS = 256
"""Visitors whose page Gradio remembers, at 75 kB each; those before them lose a frame rate."""


class Address(NamedTuple):
    """Where an app is served."""

    host: str = "127.0.0.1"
    """To listen on; ``0.0.0.0`` accepts connections from the whole network."""
    port: int | None = None
    """None for the first free one from 7860."""
    browser: bool = True
    """Open a browser window."""
    share: bool = False
    """Also serve it at a public address of Gradio's."""


def serve(build: Callable[[Path], gr.Blocks], address: Address) -> None:
    """Serve an app, its API and its MCP server until it is interrupted; then remove all uploads.

    Args:
        build: makes the app, given its private folder.
        address: where.

    Raises:
        FoodvisionError: if this machine cannot listen there.

    """
    from starlette.middleware import Middleware

    _check_host(address.host)
    with private_folder() as folder:
        app = build(folder)
        app.queue(max_size=MAX_WAITING)
        with swept(folder):
            app.launch(
                server_name=address.host,
                server_port=address.port,
                inbrowser=address.browser,
                share=address.share,
                max_file_size=f"{MAX_UPLOAD_MB}mb",
                mcp_server=True,
                # Gradio 6.27 to 6.31 trust a forged host with it (CVE-2026-134825).
                ssr_mode=False,
                state_session_capacity=MAX_SESSIONS,
                app_kwargs={"middleware": [Middleware(BodyLimit)]},
            )


def _check_host(host: str) -> None:
    """Raise FoodvisionError if this machine cannot listen there; Gradio would try many ports."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), 0, type=socket.SOCK_STREAM)
        for i, (family, kind, _, _, address) in enumerate(found, start=1):
            try:
                with socket.socket(family, kind) as listening:
                    listening.bind(address)
                return
            except OSError:
                if i == len(found):
                    raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FoodvisionError(
            f"--host {host}: this machine cannot listen there ({reason})"
        ) from error
