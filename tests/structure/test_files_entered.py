"""Few files are entered by one message and by one subscribe: a reader can follow both."""

from __future__ import annotations

from tests.structure.files_entered import entered_files

# What the code needs today; the aim is 8 and 45. Lower them whenever the code allows.
MESSAGE_LIMIT = 8
SUBSCRIBE_LIMIT = 80


async def test_a_message_and_a_subscribe_enter_few_files():
    entered = await entered_files()
    for work, limit in (("message", MESSAGE_LIMIT), ("subscribe", SUBSCRIBE_LIMIT)):
        files = sorted(entered[work])
        assert len(files) <= limit, (
            f"one {work} enters {len(files)} files, more than {limit}:\n    " + "\n    ".join(files)
        )
