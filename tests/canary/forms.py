"""The forms in which a secret is given to the package, each with all that must never be seen of it."""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECRET = "cN4ry7Qm2+VxT9pLw4ZsRb8Nd"
USER = "canary-user"
VARIABLE = "GENESIS_CANARY"
JWT = "c4a7e61f0b2d4938857a9c1e3f5d7b902468ace013579bdf8642fdb97531eca0"


@dataclass(frozen=True)
class Planted:
    """What is handed over: credentials, arguments of their own, and what stands in the URL."""

    credentials: Any = None
    path: str = "/"
    userinfo: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    #: What the node says wherever it says anything.
    secret: str = SECRET

    def endpoint(self, port: int, scheme: str = "http") -> str:
        """The endpoint on a port."""
        return f"{scheme}://{self.userinfo}127.0.0.1:{port}{self.path}"


def hidden() -> list[str]:
    """The secrets as they are, and as they go over the wire."""
    pairs = [f"{USER}:{SECRET}", f":{SECRET}"]
    encoded = [base64.b64encode(text.encode()).decode().rstrip("=") for text in pairs]
    # The beginning of every token that is signed with the engine's secret.
    token = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
    encoded.append(f"{token}.ey")
    return [SECRET, urllib.parse.quote(SECRET, safe=""), JWT, bytes.fromhex(JWT).hex(":"), *encoded]


def _cookie(folder: Path) -> Planted:
    cookie = folder / ".cookie"
    cookie.write_text(f"{USER}:{SECRET}")
    return Planted({"cookie_file": str(cookie)})


def _jwt_file(folder: Path) -> Planted:
    path = folder / "jwt.hex"
    path.write_text(f"0x{JWT}\n")
    return Planted({"jwt_secret": str(path)}, secret=JWT)


def _asked() -> dict[str, str]:
    return {"api_key": SECRET}


async def _asked_from_afar() -> dict[str, str]:
    return {"bearer_token": SECRET}


#: Each form, made in a folder of its own. `GENESIS_CANARY` is in the environment.
FORMS: dict[str, Callable[[Path], Planted]] = {
    "api key": lambda _: Planted({"api_key": SECRET}),
    "api key in the path": lambda _: Planted({"api_key": SECRET, "placement": "path"}),
    "api key in the query": lambda _: Planted({"api_key": SECRET, "placement": "query:key"}),
    "api key in a header": lambda _: Planted({"api_key": SECRET, "placement": "header:X-Token"}),
    "api key as basic": lambda _: Planted({"api_key": SECRET, "placement": "basic"}),
    "bearer": lambda _: Planted({"bearer_token": SECRET}),
    "basic": lambda _: Planted({"username": USER, "password": SECRET}),
    "headers": lambda _: Planted({"headers": {"X-Key": SECRET}}),
    "headers of the endpoint": lambda _: Planted(arguments={"headers": {"X-Key": SECRET}}),
    "userinfo": lambda _: Planted(userinfo=f"{USER}:{urllib.parse.quote(SECRET)}@"),
    "path": lambda _: Planted(path=f"/v3/{SECRET}"),
    "query": lambda _: Planted(path=f"/?apikey={SECRET}"),
    "cookie file": _cookie,
    "jwt": lambda _: Planted({"jwt_secret": JWT}, secret=JWT),
    "jwt file": _jwt_file,
    "variable in the endpoint": lambda _: Planted(path=f"/v3/${{{VARIABLE}}}"),
    "variable in the credentials": lambda _: Planted({"api_key": f"${{{VARIABLE}}}"}),
    "callable": lambda _: Planted(_asked),
    "async callable": lambda _: Planted(_asked_from_afar),
}
