"""A small web service that protects itself from its clients.

`python examples/protect_a_service.py` serves http://127.0.0.1:8000/ until it is interrupted. Whoever asks
more than five times in ten seconds is told to wait; whoever sends five wrong tokens is shut out for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import math
import os
from http import HTTPStatus

from genesis_replicator.security import RateLimiter, RateLimitExceededError, SecurityEvent

TOKEN = os.environ.get("SERVICE_TOKEN", "let-me-in")
#: Seconds for a request to arrive.
PATIENCE = 10.0


class Service:
    """Says hello to those who may come."""

    def __init__(self, max_requests: int = 5, window_seconds: float = 10.0) -> None:
        """Nobody is shut out yet."""
        self.shut_out: set[str] = set()
        self.limiter = RateLimiter(max_requests, window_seconds, max_clients=10_000, on_event=self.hear)

    def hear(self, event: SecurityEvent) -> None:
        """Act on what looks suspicious. It is logged already, and names nobody: a client is a fingerprint."""
        if event.kind == "credential_failures" and event.client:
            self.shut_out.add(event.client)

    async def answer(self, client: str, authorization: str) -> tuple[HTTPStatus, dict[str, str]]:
        """What a client gets."""
        if self.limiter.fingerprint(client) in self.shut_out:
            return HTTPStatus.FORBIDDEN, {}
        try:
            decision = await self.limiter.check_rate_limit(client)
        except RateLimitExceededError as error:
            return HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(math.ceil(error.retry_after or 1))}
        if not hmac.compare_digest(authorization.encode(), f"Bearer {TOKEN}".encode()):
            self.limiter.record_credential_failure(client)
            return HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"}
        return HTTPStatus.OK, {
            "X-RateLimit-Limit": str(decision.limit),
            "X-RateLimit-Remaining": str(decision.remaining),
            "X-RateLimit-Reset": str(math.ceil(decision.reset_after)),
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request on one connection."""
        # The address: nobody can choose another one for each request, as with a header.
        client = writer.get_extra_info("peername")[0]
        with contextlib.suppress(
            TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(PATIENCE):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, headers = await self.answer(client, header(head, "authorization"))
            body = f"{status.phrase}\n".encode()
            headers |= {"Content-Length": str(len(body)), "Connection": "close"}
            lines = [
                f"HTTP/1.1 {status.value} {status.phrase}",
                *(f"{name}: {text}" for name, text in headers.items()),
            ]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
        writer.close()


def header(head: str, wanted: str) -> str:
    """The value of one header, empty if it is missing."""
    fields = (line.partition(":") for line in head.splitlines()[1:])
    return next((value.strip() for name, _, value in fields if name.lower() == wanted), "")


async def main() -> None:
    """Serve until somebody presses Ctrl-C."""
    server = await asyncio.start_server(Service().serve, "127.0.0.1", 8000)
    print("http://127.0.0.1:8000/")
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
