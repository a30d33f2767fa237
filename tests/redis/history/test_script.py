"""The options of a history, the commands that append, and what refusals mean."""

from __future__ import annotations

import math
from hashlib import sha1

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import History
from actors.redis.exceptions import (
    AuthorizationError,
    DataError,
    NoScriptError,
    ResponseError,
    WrongTypeError,
    from_reply,
)
from actors.redis.history.refusals import explained
from actors.redis.history.script import (
    DIGEST,
    SCRIPT,
    append_command,
    is_append,
    with_first_text,
    with_text,
)
from supervisor import SpecError

APPEND = append_command("PUBLISH", b"orders", "x", History())


def test_a_history_is_a_frozen_value_with_bounds_by_default():
    assert History() == History(maxlen=10_000, max_age=None, replicas=0)
    with pytest.raises(AttributeError):
        History().maxlen = 5
    assert msgspec.structs.replace(History(), maxlen=1) == History(maxlen=1)
    History(maxlen=None, max_age=0.001)
    History(maxlen=2**63 - 1, max_age=10**10, replicas=5)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"maxlen": None}, "both None"),
        ({"maxlen": 0}, "maxlen must be from 1"),
        ({"maxlen": 2**63}, "maxlen must be from 1"),
        ({"maxlen": 10.0}, "maxlen must be a whole number"),
        ({"maxlen": True}, "maxlen must be a whole number"),
        ({"max_age": 0}, "max_age must be None or seconds"),
        ({"max_age": -1}, "max_age must be None or seconds"),
        ({"max_age": math.inf}, "max_age must be None or seconds"),
        ({"max_age": math.nan}, "max_age must be None or seconds"),
        ({"max_age": "60"}, "max_age must be None or seconds"),
        ({"replicas": -1}, "replicas must be a whole number"),
        ({"replicas": 1.0}, "replicas must be a whole number"),
    ],
)
def test_limits_without_a_meaning_are_refused(options, problem):
    with pytest.raises(SpecError, match=problem):
        History(**options)


def test_all_problems_are_named():
    with pytest.raises(SpecError) as caught:
        History(maxlen=0, max_age=0, replicas=-1)
    assert len(caught.value.problems) == 3


def test_r1_the_command_has_one_key_and_the_arguments_of_the_wire_format():
    assert sha1(SCRIPT.encode()).hexdigest() == DIGEST
    assert append_command("SPUBLISH", b"{a}.b", b"\xff", History(maxlen=5)) == (
        *("EVALSHA", DIGEST, b"1", b"{a}.b:history", b"{a}.b", "SPUBLISH", b"\xff", b"5"),
    )
    assert append_command("PUBLISH", b"b", 7, History(max_age=1.5))[3:] == (
        *(b"{b}:history", b"b", "PUBLISH", 7, b"10000", b"1500"),
    )
    assert append_command("PUBLISH", b"b", "x", History(maxlen=None, max_age=60))[7:] == (
        *(b"9223372036854775807", b"60000"),
    )
    assert with_text(APPEND) == ("EVAL", SCRIPT, *APPEND[2:])
    with pytest.raises(DataError, match="braces"):
        append_command("PUBLISH", b"{", "x", History())


def test_other_commands_are_sent_as_they_are():
    for args in [("EVALSHA", "f" * 40, 1, "key"), ("EVALSHA",), ("GET", DIGEST), ("PING",)]:
        assert not is_append(args)
        assert with_text(args) is args


appends = st.sampled_from([b"a", b"b", b"c"]).map(
    lambda channel: append_command("PUBLISH", channel, "x", History())
)


@given(st.lists(appends | st.just(("PING",))), st.booleans())
def test_r1_the_first_append_of_each_group_brings_the_text(commands, grouped):
    sent = with_first_text(commands, lambda key: key if grouped else None)
    known = set()
    for before, after in zip(commands, sent, strict=True):
        group = before[3] if grouped and is_append(before) else None
        if is_append(before) and group not in known:
            known.add(group)
            assert after == with_text(before)
        else:
            assert after == before


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        ("WRONGTYPE Operation against a key", WrongTypeError, r"not published.*holds no stream"),
        (
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
            ResponseError,
            r"not published: no entry can follow.*DEL '\{orders\}:history'",
        ),
        ("ERR Invalid stream ID specified as stream", ResponseError, "no entry can follow"),
        ("ERR The stream has exhausted the last possible ID", ResponseError, "no entry can follow"),
        ("ERR ACL failure in script: User u has no", AuthorizationError, "PUBLISH on the channel"),
        ("ERR The user executing the script can't run", AuthorizationError, "may be in the hist"),
        ("NOPERM User u has no permissions to run", AuthorizationError, "not published: a user"),
    ],
)
def test_r1_a_refusal_is_told_with_its_cause_and_cure(reply, kind, says):
    error = from_reply(reply)
    clear = explained(error, APPEND)
    assert type(clear) is kind
    assert clear.__cause__ is error
    with pytest.raises(kind, match=says):
        raise clear


@pytest.mark.parametrize("reply", ["OOM command not allowed", "NOSCRIPT none", "MOVED 1 h:1"])
def test_other_errors_stay_as_they_are(reply):
    error = from_reply(reply)
    assert explained(error, APPEND) is error


def test_an_error_of_another_command_stays_as_it_is():
    error = from_reply("WRONGTYPE Operation against a key")
    assert explained(error, ("XADD", "key", "*", "d", "x")) is error
    assert isinstance(from_reply("NOSCRIPT none"), NoScriptError)
