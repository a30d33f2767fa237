"""Write the description of the public API anew: ``python -m tests.api``."""

from __future__ import annotations

from tests.api.describe import PINNED, describe

PINNED.write_text(describe())
print(f"wrote {PINNED}")
