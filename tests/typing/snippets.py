"""The programs in README.md and docs as modules that a type checker can read.

A snippet leaves out what the text around it explains, imports above all: names of ``actors`` are
imported for it here, and :data:`MODULES` has what else stands before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import actors

ROOT = Path(__file__).parents[2]

_ORDER = "import msgspec\n\nclass Order(msgspec.Struct):\n    id: int\n    item: str\n\n"
_MODELS = "from datetime import UTC, datetime\n\nfrom pydantic import BaseModel\n\n"

_FROM_WORKER = "from typing import Any\n\nfrom actors.worker import Next\n\n"
_WORKER_TYPES = "".join(
    f"class {name}(msgspec.Struct):\n    customer: str\n\n"
    for name in ("Order", "Rate", "Click", "Payment", "Entry")
)
_LIFESPAN = """
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

from fastapi import FastAPI

database: AbstractAsyncContextManager[None]
worker: Worker[None] = Worker()

def page_somebody(error: BaseException) -> None: ...

"""

#: For each module: the page, the numbers of its snippets there, and what stands before them.
MODULES = {
    "readme_program": ("README.md", [0], ""),
    "readme_worker": ("README.md", [1], "import msgspec\n\n"),
    "readme_history": (
        "README.md",
        [2],
        f'{_ORDER}order = Order(1, "tea")\napp = Worker()\nclient = Redis()\n\n',
    ),
    "payloads": ("docs/payloads.md", [0, 1, 2], _MODELS),
    "worker": (
        "docs/worker.md",
        [0],
        f"import msgspec\n{_FROM_WORKER}{_WORKER_TYPES}class Shop: ...\n\n",
    ),
    "embedded_fastapi": ("docs/embedding.md", [0], ""),
    "embedded_lifespan": ("docs/embedding.md", [1, 2], _LIFESPAN),
    "embedded_starlette": ("docs/embedding.md", [4], ""),
    "embedded_litestar": ("docs/embedding.md", [5], ""),
}

#: Programs whose other packages have no types: Starlette's test client, Django.
UNTYPED = {"docs/embedding.md": [3, 6]}


def modules() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each module."""
    for name, (page, numbers, given) in MODULES.items():
        found = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
        text = given + "\n\n".join(_complete(found[number]) for number in numbers)
        yield name, f"from __future__ import annotations\n\n{_imports(text)}{text}"


def snippets(page: str) -> int:
    """Return how many programs ``page`` has."""
    return len(re.findall(r"```python\n", (ROOT / page).read_text()))


def _complete(snippet: str) -> str:
    """Return ``snippet`` in a coroutine function if it awaits something outside of any."""
    if not re.search(r"^(await|async with|async for) ", snippet, re.MULTILINE):
        return snippet
    return f"async def snippet() -> None:\n{indent(snippet, '    ')}"


def _imports(text: str) -> str:
    code = re.sub(r'"[^"\n]*"', "", text)
    names = [
        name
        for name in actors.__all__
        if re.search(rf"\b{name}\b", code) and f"class {name}(" not in code
    ]
    imported = " ".join(re.findall(r"^from actors import (.*)", text, re.MULTILINE))
    missing = [name for name in names if not re.search(rf"\b{name}\b", imported)]
    return f"from actors import {', '.join(missing)}\n\n" if missing else ""
