"""What the actor runtime raises."""

from __future__ import annotations

__all__ = ["ActorCrashed", "ActorError", "ActorStopped", "MailboxFull", "NameTaken"]


class ActorError(Exception):
    """Base of everything the actor runtime raises by itself."""


class ActorStopped(ActorError):
    """The actor has ended, so there is nobody to answer."""


class ActorCrashed(ActorError):
    """The actor crashed on a message; ``__cause__`` is what it raised. It may be back already."""


class MailboxFull(ActorError):
    """The mailbox is at its bound and its overflow policy tells the sender."""


class NameTaken(ActorError, ValueError):
    """Another actor has this name."""
