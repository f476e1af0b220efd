"""A real execution client, EthereumJS, as npm installs it under tests/node: its engine API wants a JWT."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from servers.processes import NodeProcess

SECRET = "7c3fa1" * 10 + "9b2d"


def find() -> tuple[str, str] | None:
    """Node and the program that it runs; None if there is one of them missing."""
    modules = Path(__file__).parent.parent / "node/node_modules"
    program = modules / "@ethereumjs/client/dist/esm/bin/cli.js"
    node = shutil.which("node")
    return (node, str(program)) if node and program.exists() else None


class ExecutionClient(NodeProcess):
    """A client that syncs with nobody and answers on its engine port."""

    def __init__(self, command: tuple[str, str]) -> None:
        """Choose the port and leave the secret in a file; nothing runs yet."""
        super().__init__()
        self._command = command
        self.secret_file = self.folder / "jwt.hex"
        self.secret_file.write_text(f"0x{SECRET}\n")

    def command(self) -> Sequence[str]:
        """What starts it."""
        options = ["--network", "mainnet", "--sync", "none", "--logFile", "false", "--maxPeers", "0"]
        options += ["--discV4", "false", "--discDns", "false", "--port", "0", "--extIP", "127.0.0.1"]
        options += ["--dataDir", str(self.folder / "data"), "--jwtSecret", str(self.secret_file)]
        options += ["--rpcEngine", "--rpcEngineAddr", "127.0.0.1", "--rpcEnginePort", str(self.port)]
        return [*self._command, *options]

    def is_ready(self) -> bool:
        """Whether it refuses whoever has no token."""
        return self.ask_status() == 401
