"""Parameters as web3.py's middleware leaves them, as JSON has them."""

from collections.abc import Mapping, Sequence
from typing import Any

#: What JSON has already; most parameters are of these.
PLAIN = frozenset({str, int, float, bool, type(None)})


def plain(value: Any) -> Any:
    """The same in lists, dicts and texts: bytes are written as `0x…`, as web3.py's own providers do."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "0x" + bytes(value).hex()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(by_alias=True))
    return value
