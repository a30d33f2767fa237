"""The public names and their signatures are what ``public_api.txt`` says."""

from __future__ import annotations

import difflib

from tests.api.describe import PINNED, describe


def test_the_public_api_is_the_pinned_one():
    pinned, current = PINNED.read_text().splitlines(), describe().splitlines()
    diff = difflib.unified_diff(pinned, current, PINNED.name, "the code", lineterm="", n=2)
    changes = "\n".join(diff)
    assert not changes, (
        "The public API differs from tests/api/public_api.txt:\n\n"
        f"{changes}\n\n"
        "If users are meant to see this change, run `python -m tests.api`, commit the file and name"
        " the change in CHANGELOG.md. Otherwise put the old name or signature back."
    )
