"""A server that answers every request with the same bytes, which need not be HTTP."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Server:
    """On this machine, until the process ends."""

    def __init__(self) -> None:
        self.content = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/a.jpg"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, suppress(OSError):  # the client has hung up
                connection.recv(1 << 16)
                connection.sendall(self.content)
