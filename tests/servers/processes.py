"""Real nodes as processes: one that answers on its port, and is ended by its process id."""

from __future__ import annotations

import http.client
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from servers.anvil import free_port


class NodeProcess:
    """A node with a folder and a port of its own, which can be started again there."""

    def __init__(self) -> None:
        """Choose the port and the folder; nothing runs yet."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._kept = tempfile.TemporaryDirectory(prefix="node-")
        self.folder = Path(self._kept.name)
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        """What starts it."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether it answers; an `OSError` while it does not listen."""
        raise NotImplementedError

    def ask_status(self, authorization: str | None = None) -> int:
        """The HTTP status of a question, by the standard library, to have a witness."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        headers = {"content-type": "application/json"}
        if authorization is not None:
            headers["authorization"] = authorization
        try:
            link.request("POST", "/", b'{"jsonrpc":"2.0","id":1,"method":"x","params":[]}', headers)
            return link.getresponse().status
        finally:
            link.close()

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        give_up = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("the node did not start: " + (self.folder / "log").read_text()[-2000:])
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return self.is_ready()
        except (OSError, http.client.HTTPException):
            return False

    def restart(self) -> None:
        """Have it crash and come back. If asked to end, a node may wait for its clients to hang up."""
        if self._process is not None:
            self._process.kill()
        self.stop()
        self.start()

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """End it and remove its folder."""
        self.stop()
        self._kept.cleanup()
