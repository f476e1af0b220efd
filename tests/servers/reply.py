"""What the scripted node says to one call: a good answer by default, any kind of bad one on request."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

REASONS = {200: "OK", 302: "Found", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True)
class Reply:
    """One scripted answer. Every field changes one thing about it."""

    result: Any = None
    error: dict[str, Any] | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    #: The JSON text of the result, for texts that json.dumps would never write.
    raw_result: str | None = None
    #: The whole body, sent as it is.
    body: bytes | None = None
    #: Sent instead of the id of the request; `...` sends the right one, `None` sends null.
    answer_id: Any = ...
    omit_id: bool = False
    delay: float = 0.0
    #: Answer only after `ScriptedNode.release`.
    hold: bool = False
    #: Announce the whole body, send half of it, and close.
    truncate: bool = False
    #: Close instead of answering.
    hang_up: bool = False
    #: Close after the answer, without announcing it.
    close_after: bool = False

    def item(self, request_id: Any) -> str:
        """The JSON-RPC answer to the request with this id."""
        parts = ['"jsonrpc":"2.0"']
        if not self.omit_id:
            parts.append(f'"id":{json.dumps(request_id if self.answer_id is ... else self.answer_id)}')
        if self.error is not None:
            parts.append(f'"error":{json.dumps(self.error)}')
        else:
            parts.append(
                f'"result":{json.dumps(self.result) if self.raw_result is None else self.raw_result}'
            )
        return "{" + ",".join(parts) + "}"

    def http(self, body: bytes) -> bytes:
        """The HTTP/1.1 response that carries `body`."""
        head = {"content-type": "application/json", "content-length": str(len(body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Scripted')}"]
        lines += [f"{name}: {value}" for name, value in head.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
