"""Who may ask: by the names under which the server is asked for, and by the pages that ask.

A page from anywhere can send requests to a server of this machine, and by a name of its own that it lets lead here
(DNS rebinding) read the answers too. So on loopback the server answers under this machine's names alone, to its own
pages and to those of `--cors-origin`. A browser sends `Sec-Fetch-Site` over https and to this machine only: a foreign
name that comes with it is that of a proxy with a certificate, and what it says of the page can be believed.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response

from charloom.serving.errors import ApiError
from charloom.serving.settings import ServeSettings

_ANSWERS_SHOWN = "X-Request-Id, X-Charloom-Unknown, Retry-After"
_METHODS = "GET, HEAD, POST"
_REMEMBERED = "600"  # seconds that a browser need not ask again


class Origins:
    """The names and pages that a server answers."""

    def __init__(self, settings: ServeSettings) -> None:
        """As `host`, `allowed_host` and `cors_origin` say."""
        self._pages = frozenset(settings.cors_origin)
        self._hosts = [name.lower() for name in settings.allowed_host]
        self._own = settings.host.lower()
        self._guarded = bool(self._hosts) or _is_loopback(settings.host)

    def check(self, headers: Headers) -> None:
        """Look at who asks.

        Raises:
            ApiError: 403, the server is not known by that name, or the page may not ask.
        """
        if not self._guarded:
            return
        host, fetched = headers.get("host"), headers.get("sec-fetch-site")
        if host is not None and fetched is None and not self._is_name(_name(host)):
            raise _name_refused(host)
        for origin in headers.getlist("origin"):
            _, _, place = origin.lower().partition("://")
            own = fetched == "same-origin" or place == (host or "").lower() or self._is_allowed(_name(place))
            if not own and not self._lets_in(origin):
                raise _page_refused(origin)

    def headers(self, headers: Headers) -> dict[str, str]:
        """What an answer says to the browser of the page that asked."""
        if not self._pages:
            return {}
        origin = headers.get("origin", "")
        if not self._lets_in(origin):
            return {"Vary": "Origin"}
        shown = "*" if "*" in self._pages else origin
        return {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": shown,
            "Access-Control-Expose-Headers": _ANSWERS_SHOWN,
        }

    def preflight(self, method: str, headers: Headers) -> Response | None:
        """The answer to a browser that asks on behalf of a page whether it may ask; None where it does not.

        Raises:
            ApiError: 403, it may not.
        """
        origin, wished = headers.get("origin"), headers.get("access-control-request-method")
        if method != "OPTIONS" or origin is None or wished is None:
            return None
        if not self._lets_in(origin):
            raise _page_refused(origin)
        allowed = {"Access-Control-Allow-Methods": _METHODS, "Access-Control-Max-Age": _REMEMBERED}
        if (names := headers.get("access-control-request-headers")) is not None:
            allowed["Access-Control-Allow-Headers"] = names  # clients send headers of their own: all are harmless
        if headers.get("access-control-request-private-network") == "true":
            allowed["Access-Control-Allow-Private-Network"] = "true"
        return Response(status_code=204, headers=allowed)

    def _lets_in(self, origin: str) -> bool:
        return bool(origin) and ("*" in self._pages or origin in self._pages)

    def _is_name(self, name: str) -> bool:
        return name == self._own or _is_this_machine(name) or self._is_allowed(name)

    def _is_allowed(self, name: str) -> bool:
        return any(
            one in ("*", name) or (one.startswith("*.") and name.endswith(one[1:])) for one in self._hosts if name
        )


def _name_refused(host: str) -> ApiError:
    name = _name(host)[:100]
    todo = f"if that is its name, start it with --allowed-host {name}" if name else "say its name in the Host header"
    return ApiError(403, f'this server is not known as "{host[:100]}": {todo}', code="host_not_allowed")


def _page_refused(origin: str) -> ApiError:
    return ApiError(
        403,
        f"pages of {origin[:100]} may not ask this server: start it with --cors-origin {origin[:100]} to let them",
        code="origin_not_allowed",
    )


def _name(host: str) -> str:
    """The name in a Host header, without the port; empty where it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _is_this_machine(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    """Whether a server that listens there is reached from its own machine alone."""
    try:
        address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]
    except (OSError, UnicodeError):  # listening will say what is wrong with it
        return False
    return _is_this_machine(str(address))
