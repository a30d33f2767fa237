"""Few files are entered by one message and by one subscribe: a reader can follow both."""

from __future__ import annotations

from tests.structure.files_entered import entered_files

# The first subscribe connects and spawns a reader and a handler, and so enters most floors.
LIMITS = {"message": 8, "subscribe": 45, "first subscribe": 89}


async def test_a_message_and_a_subscribe_enter_few_files():
    entered = await entered_files()
    for work, limit in LIMITS.items():
        files = sorted(entered[work])
        assert len(files) <= limit, (
            f"one {work} enters {len(files)} files, more than {limit}:\n    " + "\n    ".join(files)
        )
