"""Who a connection says it is, and who is asked for that.

A provider whose credentials end returns an :class:`ExpiringUserPass`. Pub/Sub connections, which
live long, ask it again before the end and authenticate anew without a break (P14); a provider that
returns a plain :class:`UserPass` is asked once per connection.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Self

__all__ = [
    "AbstractCredentialProvider",
    "ExpiringUserPass",
    "UserPass",
    "UserPassCredentialProvider",
]


class UserPass(NamedTuple):
    """A user's name and password."""

    #: An empty one means ``default``.
    username: str
    #: Left out of the repr.
    password: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}(username={self.username!r}, password=...)"


class ExpiringUserPass(UserPass):
    """Credentials, a token for instance, that end ``expires_in`` seconds after they were given."""

    expires_in: float

    def __new__(cls, username: str, password: str, expires_in: float) -> Self:
        """Make the tuple; ``expires_in`` is an attribute beside it, the tuple stays a pair."""
        if expires_in <= 0:
            raise ValueError(
                f"expires_in is {expires_in}: the credential provider returned credentials that "
                "have ended already; it must give the seconds that are left"
            )
        pair = super().__new__(cls, username, password)
        pair.expires_in = expires_in
        return pair


class AbstractCredentialProvider(ABC):
    """Asked for credentials by every connection that is made."""

    @abstractmethod
    async def get_credentials(self) -> UserPass:
        """Return what to authenticate with.

        An :class:`ExpiringUserPass` says when it ends. What this raises reaches whoever wanted the
        connection; the time it takes counts towards ``connect_timeout``.
        """


class UserPassCredentialProvider(AbstractCredentialProvider):
    """Always the same user and password."""

    def __init__(self, username: str | None = None, password: str | None = None) -> None:
        self.username = username or ""
        self.password = password or ""

    async def get_credentials(self) -> UserPass:
        """Return the pair that was given; the user is ``default`` where none was."""
        return UserPass(self.username or "default", self.password)
