"""Supervised actors that consume Redis and Valkey Pub/Sub, and the actor runtime under them."""

# ruff: noqa: I001 - the check must run before anything imports `supervisor`
from actors import _shadow as _shadow

from actors.runtime.actor import Actor
from actors.runtime.context import ActorContext, Deferred
from actors.runtime.dead_letters import DeadLetter
from actors.runtime.errors import (
    ActorCrashed,
    ActorError,
    ActorStopped,
    MailboxFull,
    NameTaken,
)
from actors.runtime.groups import SupervisorRef
from actors.runtime.messages import Failure, Lagged, Terminated
from actors.runtime.overflow import MailboxSpec, Overflow
from actors.runtime.ref import ActorRef
from actors.runtime.spec import ActorSpec
from actors.runtime.system import ActorSystem

__all__ = [
    "Actor",
    "ActorContext",
    "ActorCrashed",
    "ActorError",
    "ActorRef",
    "ActorSpec",
    "ActorStopped",
    "ActorSystem",
    "DeadLetter",
    "Deferred",
    "Failure",
    "Lagged",
    "MailboxFull",
    "MailboxSpec",
    "NameTaken",
    "Overflow",
    "SupervisorRef",
    "Terminated",
]
