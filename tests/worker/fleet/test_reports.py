"""What members say of themselves, what operators ask, and the record as they read it."""

from __future__ import annotations

import pytest

from actors.worker.fleet.record import Lease, RecordedView, read_record
from actors.worker.fleet.reports import Ask, Drain, Report, decode_request, encode_request

REPORT = Report("a/1", 12.5, 7, 3, 60, 41.5, 2, ("x", "y", "z"))


@pytest.mark.parametrize("request_", [REPORT, Ask(), Drain("a/1")])
def test_a_request_is_what_was_published(request_):
    assert decode_request(encode_request(request_)) == request_
    assert decode_request(encode_request(request_).decode()) == request_


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b'{"type":"commit"}', b'{"type":"drain"}', b"\xff"]
)
def test_anything_else_is_none(payload):
    assert decode_request(payload) is None


def test_the_record_is_read_out_of_its_hash():
    record = read_record(
        {
            b"member b": b"2000 0 1 2",
            b"member a": b"1000 500 0 1",
            b"committed": b'{"number":7,"members":["a/1","b/2"],"gone":[],"fresh":false}',
            b"announced": b'{"number":8,"members":["a/1"],"gone":[],"fresh":false}',
            b"announced at": b"900",
            b"quiet": b"0 7",
        }
    )
    assert record.leases == (Lease("a/1", 1000, leaving=False), Lease("b/2", 2000, leaving=True))
    assert record.committed == RecordedView(7, ("a/1", "b/2"))
    assert record.announced == RecordedView(8, ("a/1",))
    assert record.is_changing


def test_a_record_without_a_view_is_one_without_members():
    record = read_record({"member a": "1000 500 0 1"})
    assert record.committed.members == ()
    assert not record.is_changing


def test_what_is_no_record_is_refused():
    with pytest.raises(ValueError, match=r"unpack|literal"):
        read_record({"member a": "soon"})
