"""Clients whose HTTP is written in Python: aiohttp, httpx, niquests."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workers import rpc
from workers.task import Ask, Task

#: Seconds that an idle connection is kept: longer than a worker waits for its next turn.
KEEP_ALIVE = 300


def tls(task: Task) -> ssl.SSLContext:
    """What trusts the node's authority."""
    return ssl.create_default_context(cafile=task.ca)


@asynccontextmanager
async def open_aiohttp(task: Task) -> AsyncIterator[Ask]:
    """aiohttp, the usual choice."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=task.connections, keepalive_timeout=KEEP_ALIVE, ssl=tls(task))
    async with aiohttp.ClientSession(connector=connector, headers=rpc.HEADERS) as session:

        async def post(body: bytes) -> tuple[int, bytes]:
            async with session.post(task.url, data=body) as response:
                return response.status, await response.read()

        yield rpc.over(post, task)


@asynccontextmanager
async def open_httpx(task: Task) -> AsyncIterator[Ask]:
    """Httpx."""
    import httpx

    limits = httpx.Limits(
        max_connections=task.connections,
        max_keepalive_connections=task.connections,
        keepalive_expiry=KEEP_ALIVE,
    )
    async with httpx.AsyncClient(limits=limits, timeout=30, headers=rpc.HEADERS, verify=tls(task)) as client:

        async def post(body: bytes) -> tuple[int, bytes]:
            response = await client.post(task.url, content=body)
            return response.status_code, response.content

        yield rpc.over(post, task)


@asynccontextmanager
async def open_niquests(task: Task) -> AsyncIterator[Ask]:
    """Niquests."""
    import niquests

    async with niquests.AsyncSession(
        pool_connections=task.connections,
        pool_maxsize=task.connections,
        keepalive_delay=KEEP_ALIVE,
        keepalive_idle_window=KEEP_ALIVE,
        headers=rpc.HEADERS,
    ) as session:
        # The environment may name other authorities, and wins over what a session is told.
        async def post(body: bytes) -> tuple[int, bytes]:
            response = await session.post(task.url, data=body, verify=task.ca)
            return response.status_code or 0, response.content or b""

        yield rpc.over(post, task)
