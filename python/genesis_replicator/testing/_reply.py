"""What a fault server says to one call: a good answer by default, any kind of bad one on request."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Reply:
    """One scripted answer. Every field changes one thing about it, and they can be combined.

    Attributes:
        result: The result, any JSON.
        error: The JSON-RPC error that is answered instead of a result.
        status: The HTTP status.
        headers: Further HTTP headers, or others than usual, in lower case.
        raw_result: The JSON text of the result, for texts that `json.dumps` would never write.
        body: The whole body, sent as it is.
        wire: Sent instead of an HTTP answer, byte by byte as it is; the connection is closed afterwards.
        endless: Sent again and again after `wire`, until the client goes away.
        answer_id: The id of the answer; `...` is the right one, and `None` is null.
        omit_id: Whether the answer has no id at all.
        delay: Seconds before the answer begins.
        hold: Whether to answer only after `FaultServer.release`.
        chunked: Whether the length is not announced: chunks on HTTP/1.1, no `content-length` on HTTP/2.
        rate: Bytes of the body for each second.
        truncate: Whether half of the body is sent and then the connection closed; on HTTP/2 the stream ends.
        hang_up: Whether to close the connection instead of answering.
        reset: Whether `truncate` and `hang_up` end with a reset: of TCP on HTTP/1.1, of the stream on HTTP/2.
        close_after: Whether the connection is closed after the answer, which does not say so.
    """

    result: Any = None
    error: Mapping[str, Any] | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw_result: str | None = None
    body: bytes | None = None
    wire: bytes | None = None
    endless: bytes = b""
    answer_id: Any = ...
    omit_id: bool = False
    delay: float = 0.0
    hold: bool = False
    chunked: bool = False
    rate: float | None = None
    truncate: bool = False
    hang_up: bool = False
    reset: bool = False
    close_after: bool = False

    def item(self, request_id: Any) -> str:
        """The JSON-RPC answer to the request with this id."""
        parts = ['"jsonrpc":"2.0"']
        if not self.omit_id:
            parts.append(f'"id":{json.dumps(request_id if self.answer_id is ... else self.answer_id)}')
        if self.error is not None:
            parts.append(f'"error":{json.dumps(self.error)}')
        else:
            raw = self.raw_result
            parts.append(f'"result":{json.dumps(self.result) if raw is None else raw}')
        return "{" + ",".join(parts) + "}"

    def fields(self, length: int) -> dict[str, str]:
        """The HTTP headers of an answer whose body is so long."""
        length_field = {} if self.chunked else {"content-length": str(length)}
        return {"content-type": "application/json", **length_field, **self.headers}

    def head(self, length: int) -> bytes:
        """The start of the HTTP/1.1 answer, up to its body."""
        fields = self.fields(length)
        if self.chunked:
            fields["transfer-encoding"] = "chunked"
        reason = HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else "Scripted"
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {text}" for name, text in fields.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def sent(self, body: bytes) -> bytes:
        """What is sent of the body."""
        return body[: len(body) - len(body) // 2 - 1] if self.truncate else body

    def pieces(self, body: bytes) -> list[bytes]:
        """What is sent of the body, in the pieces in which it goes, twenty of them a second at a `rate`."""
        text = self.sent(body)
        size = len(text) if self.rate is None else max(1, int(self.rate / 20))
        return [text[start : start + size] for start in range(0, len(text), max(1, size))]


#: What a method is answered with: a reply, or a function from the params to a result or a reply. The server's
#: thread calls it.
Script: TypeAlias = Reply | Callable[[Any], Any]
