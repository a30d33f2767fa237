"""Keeps the answers of another cluster's nodes apart: views are merged within one cluster only.

The nodes that are known are the cluster. A view that shares less than half of its nodes with them
is of another one (see :mod:`actors.redis.topology.identity`): it is reported in the log and left
out, and the node that was known at that address counts as failed. Another cluster takes the place
of the known one only when nothing has been heard of that for a while, and the startup nodes agree.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import inf
from typing import Final

from actors.redis.config.locations import TCPLocation
from actors.redis.discovery.endpoints import Answer
from actors.redis.discovery.errors import startup_nodes_disagree
from actors.redis.topology.identity import by_cluster, same_cluster, votes
from actors.redis.topology.model import Address, Topology
from supervisor.log import get_logger

log = get_logger("mailslot.redis")

#: Seconds without a word of the known cluster after which another one may take its place.
_GONE_AFTER: Final = 10.0
#: Seconds between two questions to a node of another cluster, and to one that gave no answer.
_ASK_AGAIN, _UNANSWERED = 10.0, 2.0


class Strangers:
    """The addresses at which nodes of another cluster answer.

    Args:
        startup: the addresses that the user gave.
    """

    def __init__(self, startup: Collection[Address]) -> None:
        self._startup = startup
        # Each with the time when it is asked again.
        self._ask_at: dict[Address, float] = {}
        self._ours_at = -inf

    @property
    def addresses(self) -> Collection[Address]:
        """The addresses."""
        return self._ask_at.keys()

    def due(self, now: float) -> list[Address]:
        """Return the addresses that are to be asked again; the others' time is not over."""
        due = [address for address, at in self._ask_at.items() if at <= now]
        self._ask_at |= dict.fromkeys(due, now + _UNANSWERED)
        return due

    def keep(self, addresses: Collection[Address]) -> None:
        """Forget the addresses that no node of the cluster has."""
        self._ask_at = {at: when for at, when in self._ask_at.items() if at in addresses}

    # -- at the start ------------------------------------------------------------------------------

    def elect(self, known: Topology | None, answers: list[Answer], now: float) -> list[Answer]:
        """Return the answers of one cluster: the known one, or the one of most startup nodes.

        Raises:
            RedisClusterError: as many startup nodes are of one cluster as of another one.
        """
        ours = [] if known is None else self.ours(known, answers, now)
        if ours:
            return ours
        groups = by_cluster(view for _, view in answers)
        if len(groups) > 1 and votes(groups[0]) == votes(groups[1]) > 0:
            raise startup_nodes_disagree([_of(answers, group) for group in groups])
        elected = _of(answers, groups[0])
        if votes(groups[0]):
            self._report([one for one in answers if one not in elected])
            self._ours_at = now
            return elected
        return answers

    # -- later -------------------------------------------------------------------------------------

    def ours(self, known: Topology, answers: Sequence[Answer], now: float) -> list[Answer]:
        """Return the answers that are of the cluster ``known``; note and report the others."""
        ours = [answer for answer in answers if same_cluster(known, answer[1])]
        others = [answer for answer in answers if answer not in ours]
        self._report([one for one in others if one[0].address not in self._ask_at])
        for probe, _ in others:
            self._ask_at[probe.address] = now + _ASK_AGAIN
        for probe, _ in ours:
            self._ours_at = now
            if self._ask_at.pop(probe.address, None) is not None:
                log.info("foreign_node_is_back", address=str(probe.location))
        return ours

    def successors(self, known: Topology, others: list[Answer], now: float) -> list[Answer]:
        """Return the answers of the cluster that takes the place of ``known``; mostly none.

        Args:
            known: nothing was heard of it in this round of questions.
            others: the answers of other clusters' nodes.
            now: the time in seconds.
        """
        at = {node.address for node in known.nodes.values() if node.addressable}
        gone = now - self._ours_at >= _GONE_AFTER or at <= {probe.address for probe, _ in others}
        seeds = [answer for answer in others if answer[0].address in self._startup]
        groups = by_cluster(view for _, view in seeds)
        if not gone or len(groups) != 1 or 2 * len(seeds) < len(self._startup):
            return []
        log.warning(
            "cluster_replaced",
            startup_nodes=[str(probe.location) for probe, _ in seeds],
            lost=sorted(str(TCPLocation(*address)) for address in at),
            reason="no node of the known cluster answers, and the startup nodes belong to this one",
        )
        self._ask_at.clear()
        self._ours_at = now
        return [answer for answer in others if same_cluster(groups[0][0], answer[1])]

    @staticmethod
    def _report(answers: Sequence[Answer]) -> None:
        for probe, view in answers:
            log.warning(
                "foreign_node_left_out",
                address=str(probe.location),
                its_cluster=_some_nodes(view),
                cure="the node at this address belongs to another cluster: take the address out of"
                " the startup nodes, or CLUSTER FORGET the node that had the address before",
            )


def _of(answers: Sequence[Answer], group: Sequence[Topology]) -> list[Answer]:
    return [answer for answer in answers if any(answer[1] is view for view in group)]


def _some_nodes(view: Topology) -> list[str]:
    return [f"{node.host}:{node.port} {node.id[:8]}" for node in list(view.nodes.values())[:6]]
