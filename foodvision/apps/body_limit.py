"""A limit to what a request may carry beside uploaded files, which Gradio limits itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_MB = 16
"""Room for an image of 12 MB as base64, as an agent sends it; a larger one is uploaded first."""

UPLOAD = "/gradio_api/upload"


class BodyLimit:
    """ASGI middleware that answers 413 to larger bodies, before they are in memory.

    A parsed JSON body takes several times its bytes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http" or scope["path"].endswith(UPLOAD):
            return await self.app(scope, receive, send)

        from starlette.exceptions import HTTPException
        from starlette.responses import JSONResponse

        sentence = f"More than {MAX_BODY_MB} MB in one request. Upload the image first."
        limit, received = MAX_BODY_MB * 1024**2, 0
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            response = JSONResponse({"detail": sentence}, status_code=413)
            return await response(scope, receive, send)

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:  # it came in chunks, of undeclared length
                raise HTTPException(413, sentence)
            return message

        return await self.app(scope, receive_some, send)
