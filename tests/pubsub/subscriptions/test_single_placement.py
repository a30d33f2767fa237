"""Placement where one server, or one node at a time, serves everything."""

from __future__ import annotations

import pytest

from actors.pubsub.model.types import Kind, Target
from actors.pubsub.subscriptions.placement import Placement, PlacementEvents, Revocation
from actors.pubsub.subscriptions.single_placement import SERVER, SinglePlacement
from actors.pubsub.table.state import Handover
from actors.redis.exceptions import MovedError, RedisError, ResponseError

CHANNEL, PATTERN = Target(Kind.CHANNEL, b"a"), Target(Kind.PATTERN, b"a*")


def test_every_target_belongs_on_the_server_whatever_is_reported():
    single = SinglePlacement()
    placement: Placement = single
    events: PlacementEvents = single
    for _ in range(2):
        assert placement.places(CHANNEL) == (SERVER,)
        assert placement.places_of([CHANNEL, PATTERN]) == [(SERVER,), (SERVER,)]
        assert placement.group(CHANNEL) == placement.group(PATTERN)
        assert placement.same_stream(SERVER, SERVER)
        assert placement.trusted(SERVER)
        assert not placement.asking(SERVER, CHANNEL)
        assert not placement.imports(SERVER, CHANNEL)
        assert placement.linger(Handover(CHANNEL, SERVER, SERVER)) == 0.0
        assert not events.found(SERVER), "no place changes"
        assert events.revoked(SERVER, CHANNEL) == Revocation()


def test_without_a_connection_no_target_can_become_live():
    single = SinglePlacement()
    assert single.hopeless(CHANNEL)
    assert not single.found(SERVER)
    assert not single.hopeless(CHANNEL)
    assert not single.lost(SERVER)
    assert single.hopeless(CHANNEL)


@pytest.mark.parametrize("error", [ResponseError("no"), MovedError(0, "127.0.0.1", 1)])
def test_an_error_of_the_server_is_final(error: RedisError):
    assert not SinglePlacement().redirected(SERVER, [CHANNEL], error)


def test_a_node_of_a_cluster_delivers_what_others_accepted_with_the_lag_of_the_bus():
    assert SinglePlacement().complete(SERVER, 5.0) == 5.0
    assert SinglePlacement(0.07).complete(SERVER, 5.0) == pytest.approx(4.93)
