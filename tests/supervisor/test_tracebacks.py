"""Tracebacks for users leave out the frames of the library around the user's code."""

from __future__ import annotations

import traceback
from typing import Any

import msgspec
import pytest

from actors.pubsub.handlers.decoders import make_decoder
from supervisor import ConstantRetryPolicy
from supervisor.log import exc_info, users_part


async def failing() -> None:
    raise OSError("no database")


async def test_a_traceback_begins_at_the_users_code():
    with pytest.raises(OSError, match="no database") as caught:
        await ConstantRetryPolicy((), 0).call_with_retries(failing)
    frames = traceback.extract_tb(users_part(caught.value.__traceback__.tb_next))  # type: ignore[union-attr]
    assert [frame.name for frame in frames] == ["failing"]


def test_a_fault_of_the_library_alone_has_its_whole_traceback():
    program = compile("def broken(): {}['x']", "fault.py", "exec")
    names: dict[str, Any] = {"__name__": "actors.fault"}
    exec(program, names)
    with pytest.raises(KeyError) as caught:
        names["broken"]()
    error = caught.value
    error.__traceback__ = error.__traceback__.tb_next if error.__traceback__ else None
    assert users_part(error.__traceback__) is None
    shown = exc_info(error)
    assert shown is not None
    assert [frame.name for frame in traceback.extract_tb(shown[2])] == ["broken"]


def test_a_payload_that_does_not_decode_has_no_traceback_to_show():
    decode = make_decoder(int, "json")
    with pytest.raises(msgspec.ValidationError) as caught:
        decode(b'"x"')
    error = caught.value
    error.__traceback__ = error.__traceback__.tb_next if error.__traceback__ else None
    assert users_part(error.__traceback__) is None
    assert exc_info(error) is None
