"""The example of a protected service does what it says."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path
from typing import Any

EXAMPLE = runpy.run_path(str(Path(__file__).parent.parent / "examples" / "protect_a_service.py"))
TOKEN = EXAMPLE["TOKEN"]


async def ask(server: asyncio.Server, token: str) -> tuple[int, dict[str, str]]:
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(f"GET / HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    head = answer.partition("\r\n\r\n")[0].splitlines()
    return int(head[0].split()[1]), dict(line.split(": ") for line in head[1:])


async def serve(**settings: Any) -> asyncio.Server:
    return await asyncio.start_server(EXAMPLE["Service"](**settings).serve, "127.0.0.1", 0)


async def test_a_client_is_let_in_until_its_quota_is_used_up() -> None:
    async with await serve(max_requests=3, window_seconds=3600) as server:
        answers = [await ask(server, TOKEN) for _ in range(5)]
    assert [status for status, _ in answers] == [200, 200, 200, 429, 429]
    assert [headers["X-RateLimit-Remaining"] for _, headers in answers[:3]] == ["2", "1", "0"]
    assert 3000 < int(answers[3][1]["Retry-After"]) <= 3600 * 17 / 16


async def test_a_client_that_guesses_tokens_is_shut_out() -> None:
    async with await serve(max_requests=100) as server:
        guesses = [(await ask(server, f"guess-{number}"))[0] for number in range(7)]
        assert guesses == [401] * 5 + [403] * 2
        assert (await ask(server, TOKEN))[0] == 403
