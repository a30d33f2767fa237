"""How often a node is asked what it is about to do, pure: the less, the more of us ask.

What is looked for is there for milliseconds only: a slot shows its target while its keys move, a
primary that hands over holds its publishers, and neither is announced. So the questions are short
in coming, as long as messages are, and each is worth a sum of processor time to the server: CLUSTER
NODES some 0.1 ms, the others half of that. Every server's share of that is bounded, whatever the
number of consumers: each of them asks less often by as many as there are.
"""

from __future__ import annotations

from enum import Enum

import msgspec

__all__ = ["LEAST", "SELDOM", "SPEAKS", "Question", "Situation", "hint_interval", "interval"]

#: Seconds between two questions at the least, and where nothing goes on.
LEAST, SELDOM = 0.0025, 0.25
#: Seconds after its last message for which a node counts as one that speaks: one that falls quiet
#: may do so because it holds its publishers.
SPEAKS = 0.25
#: Seconds between two counts of those who ask.
_COUNT = 30.0
# Larger clusters are asked about single slots only while some are on their way: the answer has a
# line for each node.
_FEW_NODES = 32
_A_LINE = 0.000_3
# The log of moves in one step may be as long: a thousand of them by default.
_A_JOB = 0.000_3
# Seconds between two questions to which others have the answer, or that have none for now.
_MEANWHILE = 0.05
# Most questions of each kind in a second that a consumer asks, while all is calm.
_MOST_ASKED = 300.0


class Question(Enum):
    """What is asked."""

    #: Slots that move one by one: CLUSTER NODES.
    SLOTS = (b"CLUSTER", b"NODES")
    #: Slots that move in one step: CLUSTER GETSLOTMIGRATIONS.
    JOBS = (b"CLUSTER", b"GETSLOTMIGRATIONS")
    #: Whether publishers are held, and how many clients are subscribed to something.
    CLIENTS = (b"INFO", b"clients")
    #: The latter, where INFO does not say.
    COUNT = (b"CLIENT", b"LIST", b"TYPE", b"pubsub")


class Situation(msgspec.Struct, frozen=True):
    """What matters to how often a node is asked.

    Attributes:
        leaving: slots are leaving this node.
        taking: slots are coming to this node.
        waiting: it has no slots yet: whoever moves some moves them there.
        moving: slots are leaving some node.
        speaking: messages come from it.
        nodes: how many the cluster has.
        subscribers: how many nodes we ask.
        sharers: how many clients of the node may ask as we do.
        jobs: how many moves in one step it tells of: it keeps a log of them.
        ranges: slots are leaving it, or coming to it, in one step.
        imminent: they are about to be gone, or there.
        single: slots are leaving it, or coming to it, one by one.
        followed: where those go to is known, and asked itself.
        rate: messages in a second that come from all nodes together.
    """

    leaving: bool = False
    taking: bool = False
    waiting: bool = False
    moving: bool = False
    speaking: bool = False
    nodes: int = 1
    subscribers: int = 1
    sharers: int = 1
    jobs: int = 0
    ranges: bool = False
    imminent: bool = False
    single: bool = False
    followed: bool = False
    rate: float = 0.0


class _Terms(msgspec.Struct, frozen=True):
    """How often one question is asked.

    Attributes:
        leaving: seconds between two of them while slots leave the node.
        ranges: the same, while they do so in one step.
        elsewhere: the same, while slots leave another one.
        speaking: the same, while it speaks.
        most: how many in a second a server gets from all who ask.
        messages: there is one for so many messages: a single slot is gone the soonest.
        most_alone: how many in a second one consumer asks of all, at the most, for that reason.
    """

    leaving: float
    ranges: float
    elsewhere: float
    speaking: float
    most: float
    messages: float
    most_alone: float


_TERMS = {
    Question.SLOTS: _Terms(0.005, SELDOM, 0.01, 0.01, 400.0, 2.5, 1200.0),
    Question.JOBS: _Terms(0.005, 0.005, 0.02, 0.02, 200.0, 10.0, 300.0),
    Question.CLIENTS: _Terms(0.01, 0.005, 0.02, 0.02, 200.0, 10.0, 300.0),
}


def interval(question: Question, here: Situation) -> float | None:
    """Return the seconds between two questions of this kind to one node; None: not at all."""
    if question is Question.COUNT:
        return _COUNT
    if question is Question.SLOTS and here.nodes > _FEW_NODES and not here.moving:
        return None
    if here.imminent and question is not Question.SLOTS:
        return None  # what is tried now tells more, and should not wait for anything
    terms = _TERMS[question]
    if here.ranges and question is Question.SLOTS:
        # No server moves single slots at the same time.
        return max(terms.ranges, here.sharers / terms.most)
    leaving, elsewhere, speaking = terms.leaving, terms.elsewhere, terms.speaking
    if here.single and question is not Question.SLOTS:
        # No server moves ranges at the same time, and hardly anybody has it hand over. Reading the
        # answers is what makes us late.
        leaving = elsewhere = speaking = _MEANWHILE
    elif here.followed and not here.taking:
        leaving = _MEANWHILE  # its target tells more
    # A target knows that a slot comes before its source knows that it goes.
    busy = here.speaking or (here.waiting and question is Question.SLOTS)
    if here.leaving or here.taking:
        # Held publishers say the same as a job's last stages, however long the log is.
        seconds = terms.ranges if here.ranges else leaving
    elif here.moving:
        seconds = elsewhere
    else:
        seconds = max(speaking if busy else SELDOM, here.subscribers / _MOST_ASKED)
    alone = question is Question.SLOTS
    if (here.taking and alone) or (busy and not here.moving):
        # The more messages come, the more it costs to see something too late.
        often = max(terms.messages / max(here.rate, 1.0), 1 / terms.most_alone)
        seconds = min(seconds, here.subscribers * often)
    if alone:
        seconds = max(seconds, here.nodes * _A_LINE)
    if question is Question.JOBS:
        seconds = max(seconds, here.jobs * _A_JOB)
    return max(LEAST, seconds, here.sharers / terms.most)


def hint_interval(here: Situation) -> float:
    """Return the seconds between two questions about moves in one step that clients give rise to.

    Such a move begins with a connection, at both ends, some 40 ms before publishers are held. Where
    the log is long its own turn comes later than that; where clients come and go all the time, each
    of them may be one. So these questions have a turn of their own, and cost no more than the rest.
    """
    return max(LEAST, here.jobs * _A_JOB, here.sharers / _TERMS[Question.JOBS].most)
