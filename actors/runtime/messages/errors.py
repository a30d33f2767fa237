"""The errors of the actor runtime."""

from __future__ import annotations


class ActorError(Exception):
    """Base of all errors that the actor runtime raises by itself."""


class ActorStopped(ActorError):
    """The actor has ended: nobody will answer."""


class ActorCrashed(ActorError):
    """The actor crashed on the message; ``__cause__`` is its error. It may run again already."""


class MailboxFull(ActorError):
    """The mailbox is full, and its overflow policy makes the sender notice."""


class NameTaken(ActorError, ValueError):
    """Another actor has this name."""
