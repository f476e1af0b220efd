"""A real node of Bitcoin's family, litecoind in regtest, as Debian installs it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
from collections.abc import Sequence
from pathlib import Path

from servers.processes import NodeProcess

USER = "rpc"
PASSWORD = "hV7-correct-3xQz"
SALT = "5b1f08a3c97e42d6b8e0f4a17d3c6952"


def find() -> str | None:
    """The command, or None where it is not installed."""
    return shutil.which("litecoind")


class Litecoin(NodeProcess):
    """A node that knows one user, and whoever reads its cookie, which is another after each start."""

    def __init__(self, command: str) -> None:
        """Choose the port; nothing runs yet."""
        super().__init__()
        self._command = command

    @property
    def cookie(self) -> Path:
        """Where it leaves its cookie."""
        return self.folder / "regtest/.cookie"

    def command(self) -> Sequence[str]:
        """What starts it: without peers, without a wallet."""
        digest = hmac.new(SALT.encode(), PASSWORD.encode(), hashlib.sha256).hexdigest()
        options = ["regtest", "server", "listen=0", "dnsseed=0", "disablewallet", "printtoconsole=1"]
        options += [f"datadir={self.folder}", f"rpcport={self.port}", f"rpcauth={USER}:{SALT}${digest}"]
        options += ["rpcbind=127.0.0.1", "rpcallowip=127.0.0.1", "connect=0"]
        return [self._command, *(f"-{option}" for option in options)]

    def is_ready(self) -> bool:
        """Whether it lets its user in and has begun to work: the method is one that it does not know."""
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return self.ask_status(f"Basic {pair}") == 404 and self.cookie.exists()
