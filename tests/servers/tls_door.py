"""A TLS server that wants a client certificate, and says so properly when it does not like what it gets."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from types import TracebackType
from typing import Self


class TlsDoor:
    """Answers one call on each connection, over HTTP/1.1, to whoever gets in."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.let_in = 0
        self._context = context
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        link.settimeout(5)
        raw = link.dup()
        with contextlib.suppress(OSError), link, raw:
            try:
                with self._context.wrap_socket(link, server_side=True) as stream:
                    self.let_in += 1
                    self._answer(stream)
            except ssl.SSLError:
                # Closing with something unread would be a reset, which overtakes the alert.
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(4096):
                    pass

    def _answer(self, stream: ssl.SSLSocket) -> None:
        with stream.makefile("rb") as lines:
            length = 0
            while (line := lines.readline().strip().lower()) != b"":
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            call = json.loads(lines.read(length))
        body = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": "0x1"}).encode()
        head = f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        stream.sendall(head.encode() + body)
