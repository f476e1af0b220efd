"""Takes the guide apart: its code blocks, its advice, and a way to run a block as it stands."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/async_operations_guide.md").read_text()
PRELUDE = (ROOT / "tests/guide_prelude.py").read_text()
ENDPOINT = "https://mainnet.infura.io/v3/YOUR-PROJECT-ID"
KEY_IN_GUIDE = '"your_key"'
#: A key that nobody would take for a placeholder.
KEY = "k7Qm2VxT9pLw4ZsRb8NdYc3H"

SNIPPETS = [
    textwrap.dedent(block)
    for _, block in re.findall(r"^( *)```python\n(.*?)^\1```$", TEXT, re.MULTILINE | re.DOTALL)
]


def snippet(text: str) -> str:
    """The one code block that contains `text`."""
    (found,) = [block for block in SNIPPETS if text in block]
    return found


def advice() -> list[str]:
    """Every best practice and every troubleshooting title, as the guide words them."""
    practices: list[str] = []
    for section in re.findall(r"^### Best Practices\n((?:- .*\n)+)", TEXT, re.MULTILINE):
        practices += re.findall(r"^- (.*)$", section, re.MULTILINE)
    issues = TEXT[TEXT.index("### Common Issues") : TEXT.index("### Debugging")]
    return practices + re.findall(r"^\d+\. \*\*(.*)\*\*$", issues, re.MULTILINE)


def pointed_at(source: str, endpoint: str) -> str:
    """The same source with a real endpoint and a real-looking key, and no other change."""
    return source.replace(ENDPOINT, endpoint).replace(KEY_IN_GUIDE, f'"{KEY}"')


async def run(source: str, names: dict[str, Any]) -> None:
    """Run a block that may await at its top level."""
    code = compile(source, "<guide>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = eval(code, names)  # noqa: S307
    if inspect.isawaitable(outcome):
        await outcome


def functions(source: str) -> list[str]:
    """The names of the functions that a block defines."""
    return [node.name for node in ast.parse(source).body if isinstance(node, ast.AsyncFunctionDef)]
