"""Clients whose HTTP is written in Rust (reqwest): pyreqwest, primp, httpr."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from workers import rpc
from workers.task import Ask, Task

KEEP_ALIVE = timedelta(minutes=5)


@asynccontextmanager
async def open_pyreqwest(task: Task) -> AsyncIterator[Ask]:
    """Pyreqwest."""
    from pyreqwest.client import ClientBuilder

    builder = (
        ClientBuilder()
        .max_connections(task.connections)
        .pool_max_idle_per_host(task.connections)
        .pool_idle_timeout(KEEP_ALIVE)
        .default_headers(rpc.HEADERS)
        .add_root_certificate_pem(Path(task.ca).read_bytes())
    )
    async with builder.build() as client:

        async def post(body: bytes) -> tuple[int, memoryview]:
            response = await client.post(task.url).body_bytes(body).build().send()
            return response.status, memoryview(await response.bytes())

        yield rpc.over(post, task)


@asynccontextmanager
async def open_primp(task: Task) -> AsyncIterator[Ask]:
    """Primp. Its pool has no bound."""
    import primp

    async with primp.AsyncClient(timeout=30, ca_cert_file=task.ca, headers=rpc.HEADERS) as client:

        async def post(body: bytes) -> tuple[int, bytes]:
            response = await client.post(task.url, content=body)
            return response.status_code, response.content

        yield rpc.over(post, task)


@asynccontextmanager
async def open_httpr(task: Task) -> AsyncIterator[Ask]:
    """httpr, which runs its synchronous client in threads, one for each request in flight."""
    import httpr

    client = httpr.AsyncClient(
        max_concurrency=task.connections, timeout=30, ca_cert_file=task.ca, headers=rpc.HEADERS
    )
    async with client:

        async def post(body: bytes) -> tuple[int, bytes]:
            response = await client.post(task.url, content=body)
            return response.status_code, response.content

        yield rpc.over(post, task)
