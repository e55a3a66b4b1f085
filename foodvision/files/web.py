"""The one HTTP client: an address comes in, a response or its bytes go out.

Everything that can go wrong between here and a server becomes a `WebError`, whose text says in
plain words what happened and whose fields say whether another try makes sense.
"""

from __future__ import annotations

import http.client
import string
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

CHUNK = 1 << 18
"""Bytes that are read at a time, at most."""

_AGENT = {"User-Agent": "foodvision"}

_TEMPORARY = {408, 425, 429}  # and every 5xx: another try makes sense


class WebError(Exception):
    """A request that failed.

    Attributes:
        temporary: whether another try makes sense.
        answered: whether a server was reached at all.
        status: of the HTTP answer; 0 without one.
        content_range: that header of the answer.

    """

    def __init__(
        self,
        reason: str,
        temporary: bool = False,
        answered: bool = True,
        status: int = 0,
        content_range: str = "",
    ) -> None:
        super().__init__(reason)
        self.temporary, self.answered = temporary, answered
        self.status, self.content_range = status, content_range


def read_url(url: str, max_bytes: int, max_seconds: float) -> bytes:
    """The content at an http(s) address.

    Raises:
        WebError: if it cannot be fetched, is too large or takes too long.

    """
    deadline, timeout = time.monotonic() + max_seconds, max_seconds / 3
    content = bytearray()
    with open_url(url, timeout) as response:
        while chunk := read_some(response, timeout):
            content += chunk
            if len(content) > max_bytes:
                raise WebError(f"is larger than {max_bytes / 1e6:g} MB")
            if time.monotonic() > deadline:
                raise WebError(f"took longer than {max_seconds:g} s")
        if response.length:  # bytes that the server announced and did not send
            raise WebError("the connection broke off", temporary=True)
    return bytes(content)


def open_url(
    url: str, timeout: float, headers: Mapping[str, str] | None = None
) -> http.client.HTTPResponse:
    """Send a GET request and return the response; close it after use.

    Args:
        url: http or https.
        timeout: seconds for which the server may be silent.
        headers: to send besides the user agent.

    Raises:
        WebError: if there is no answer, or one that is an error.

    """
    try:
        address = _encoded(url)
    except ValueError as error:
        raise WebError(f"is not a valid address ({error})") from error
    request = urllib.request.Request(address, headers=_AGENT | dict(headers or {}))
    try:
        opener = urllib.request.build_opener(_WebOnly)
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout)
        return response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code // 100 == 3:
            reason, temporary = "the server redirects to an address that is not http(s)", False
        else:
            phrase = http.client.responses.get(error.code, "")
            reason = f"the server answered {error.code} {phrase}".strip()
            temporary = error.code // 100 == 5 or error.code in _TEMPORARY
        content_range = error.headers.get("Content-Range", "")
        raise WebError(reason, temporary, True, error.code, content_range) from error
    except urllib.error.URLError as error:
        reason = f"cannot be reached ({getattr(error.reason, 'strerror', '') or error.reason})"
        raise WebError(reason, temporary=True, answered=False) from error
    except http.client.InvalidURL as error:
        raise WebError(f"is not a valid address ({error})") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _broke_off(error, timeout) from error


def _encoded(url: str) -> str:
    """The address as it is sent: spaces and other letters than ASCII's are escaped."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.encode("idna").decode()
    quoted = (urllib.parse.quote(part, safe=string.punctuation) for part in parts[2:])
    return urllib.parse.urlunsplit((parts.scheme, host, *quoted))


def read_some(response: http.client.HTTPResponse, timeout: float) -> bytes:
    """Up to `CHUNK` further bytes of a response; none at its end.

    Raises:
        WebError: if the connection breaks off or the server is silent for `timeout` seconds.

    """
    try:
        return response.read1(CHUNK)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _broke_off(error, timeout) from error


def _broke_off(error: Exception, timeout: float) -> WebError:
    if isinstance(error, TimeoutError):
        return WebError(f"the server was silent for {timeout:g} s", temporary=True)
    return WebError("the connection broke off", temporary=True)


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only; the standard handler also follows ftp."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.lower().startswith(("http://", "https://")):
            raise urllib.error.HTTPError(newurl, code, msg, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
