"""What follows from what servers say about shard channels (P5, P6b): each channel, each time."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from actors.pubsub.cluster.shard_events import ShardEvents
from actors.pubsub.cluster.shard_placement import ShardPlacement
from actors.pubsub.cluster.topology_watch import TopologyRequests
from actors.pubsub.model.types import Kind, Target
from actors.redis.exceptions import AuthorizationError, BusyLoadingError, MovedError
from actors.redis.topology.update import move_slot
from tests.pubsub.cluster.test_shard_state import Known

X, Y = Target(Kind.SHARD, b"x"), Target(Kind.SHARD, b"y")
A, C = ("127.0.0.1", 7000), ("127.0.0.1", 7002)


class Pool:
    """A pool that reaches each node at the address that it announces."""

    def __init__(self, state: Known) -> None:
        self.topology = state.topology

    def resolve(self, address: Any, *, asked: Any = None) -> Any:
        return address

    def note_moved(self, slot: int, address: Any, *, asked: Any = None) -> None:
        owner = self.topology.at(address)
        assert owner is not None
        self.topology = move_slot(self.topology, slot, owner.id)


class Stage:
    """Events with a reconciler that notes what is to be placed anew."""

    def __init__(self) -> None:
        self.state = Known()
        self.replaced: list[list[Target]] = []
        self.looks = 0
        self.reconciler: Any = SimpleNamespace(subscribers={}, replace=self.replaced.append)
        self.winding_down = False
        readers: Any = SimpleNamespace(place_soon=lambda: None)
        pool: Any = Pool(self.state)
        placement = ShardPlacement(self.state, lambda: 2, lambda: None)
        self.events = ShardEvents(
            self, self.state, placement, readers, pool, TopologyRequests(), lambda *_: None
        )

    def look_soon(self) -> None:
        self.looks += 1


def moved(slot: int, address: tuple[str, int]) -> MovedError:
    return MovedError(slot, *address)


def test_p5_each_channel_of_a_slot_follows_moved_also_where_it_is_no_news():
    stage = Stage()
    assert stage.events.redirected("a", [X], moved(5, C))
    assert stage.events.redirected("a", [Y], moved(5, C))
    assert stage.replaced == [[X], [Y]]
    owner = stage.state.topology.primary_for(5)
    assert owner is not None
    assert owner.id == "c"


def test_p6b_nodes_that_contradict_each_other_are_not_followed_all_the_time():
    stage = Stage()
    owners = []
    for number in range(100):
        node, address = (("c", A), ("a", C))[number % 2]
        assert stage.events.redirected(node, [X], moved(5, address))
        owner = stage.state.topology.primary_for(5)
        owners.append(owner.id if owner is not None else "")
    changes = sum(one != other for one, other in pairwise(owners))
    assert changes <= 3
    assert stage.state.refusals, "asked again later"
    assert stage.looks >= 90


def test_p11_an_error_that_will_pass_is_waited_for_and_any_other_is_final():
    stage = Stage()
    assert stage.events.redirected("a", [X], BusyLoadingError("LOADING"))
    assert stage.state.refusals
    assert not stage.events.redirected("a", [X], AuthorizationError("NOPERM no"))
