"""The faults that clients of nodes meet, by name: to run a program through all of them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from genesis_replicator.testing._reply import Reply

PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
PAGE_TYPE = {"content-type": "text/html"}
DEEP = 100_000


def _limited(retry_after: str, status: int = 429) -> Reply:
    return Reply(status=status, headers={"retry-after": retry_after}, body=b"")


def _error(code: int, message: str, *, data: Any = None, status: int = 200) -> Reply:
    extra = {} if data is None else {"data": data}
    return Reply(error={"code": code, "message": message, **extra}, status=status)


#: Faults of an answer, each a `Reply`. Some of them take for ever, so give your calls a deadline.
FAULTS: Mapping[str, Reply] = MappingProxyType(
    {
        # Too fast, or too busy.
        "429_seconds": _limited("1"),
        "429_date": _limited("Fri, 31 Dec 2100 23:59:59 GMT"),
        "429_past_date": _limited("Wed, 21 Oct 2015 07:28:00 GMT"),
        "429_absurd": _limited("1000000000"),
        "429_negative": _limited("-1"),
        "429_fraction": _limited("0.5"),
        "429_nonsense": _limited("soon"),
        "429_bare": Reply(status=429, body=b""),
        "503_seconds": _limited("1", status=503),
        "503_work_queue": Reply(status=503, body=b"Work queue depth exceeded", headers=PAGE_TYPE),
        # Errors as providers word them.
        "alchemy_throughput": _error(429, "Your app has exceeded its compute units per second capacity."),
        "infura_rate": _error(-32005, "project ID request rate exceeded", data={"backoff_seconds": 1}),
        "quicknode_rate": _error(-32007, "50/second request limit reached - reduce calls per second"),
        "ankr_key": Reply(
            error={"code": -32000, "message": "Unauthorized: You must authenticate your request"},
            answer_id=None,
        ),
        "tenderly_quota": _error(-32004, "You've reached the quota limit for your current plan", status=403),
        "range_too_large": _error(-32005, "query returned more than 10000 results"),
        "node_behind": _error(-32000, "header not found"),
        "reverted": _error(3, "execution reverted: no", data="0x08c379a0"),
        "error_without_code": Reply(error={"message": "Method not found"}),
        "error_in_404": _error(-32601, "Method not found", status=404),
        # Answers that are none.
        "page_502": Reply(status=502, body=PAGE, headers=PAGE_TYPE),
        "page_200": Reply(body=PAGE, headers=PAGE_TYPE),
        "empty": Reply(body=b""),
        "no_content": Reply(wire=b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"),
        "redirect": Reply(status=302, headers={"location": "/elsewhere"}, body=b""),
        "unauthorized": Reply(status=401, body=b""),
        # Answers to somebody else.
        "wrong_id": Reply("not yours", answer_id=-7),
        "text_id": Reply("not yours", answer_id="-7"),
        "null_id": Reply("not yours", answer_id=None),
        "no_id": Reply("not yours", omit_id=True),
        # Text that is not JSON, or is too much of it.
        "truncated_json": Reply(raw_result='{"number":"0x1'),
        "not_a_number": Reply(raw_result="NaN"),
        "not_utf8": Reply(body=b'\xff\xfe{"id":1}'),
        "deep_nesting": Reply(raw_result="[" * DEEP + "]" * DEEP),
        # Connections that break.
        "hang_up": Reply(hang_up=True),
        "reset": Reply(hang_up=True, reset=True),
        "truncated_body": Reply("x" * 10_000, truncate=True),
        "truncated_chunks": Reply("x" * 10_000, truncate=True, chunked=True),
        "reset_in_body": Reply("x" * 10_000, truncate=True, reset=True),
        "not_http": Reply(wire=b"\x00\xff garbage\r\n\r\n"),
        "endless_head": Reply(wire=b"HTTP/1.1 200 OK\r\n", endless=b"x-filler: " + b"a" * 1_000 + b"\r\n"),
        "endless_body": Reply(
            wire=b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            endless=b"10000\r\n" + b" " * 65_536 + b"\r\n",
        ),
        # Answers that take for ever.
        "stall": Reply(hold=True),
        "slow": Reply("x" * 10_000, rate=1.0),
    }
)
