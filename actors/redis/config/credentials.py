"""Credentials, and the providers that return them.

A provider whose credentials expire returns an :class:`ExpiringUserPass`. Pub/Sub connections, which
live long, ask the provider again before that and authenticate anew without a break. A provider that
returns a plain :class:`UserPass` is asked once per connection.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Self


class UserPass(NamedTuple):
    """A user's name and password."""

    #: An empty name means ``default``.
    username: str
    #: The repr leaves the password out.
    password: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}(username={self.username!r}, password=...)"


class ExpiringUserPass(UserPass):
    """Credentials that expire ``expires_in`` seconds after they were made: a token for instance."""

    expires_in: float

    def __new__(cls, username: str, password: str, expires_in: float) -> Self:
        """Make a pair of name and password, with ``expires_in`` as an attribute."""
        if expires_in <= 0:
            raise ValueError(
                f"expires_in is {expires_in}: the credential provider returned credentials that "
                "have expired already; it must give the seconds that are left"
            )
        pair = super().__new__(cls, username, password)
        pair.expires_in = expires_in
        return pair


class AbstractCredentialProvider(ABC):
    """Is asked for credentials by every new connection."""

    @abstractmethod
    async def get_credentials(self) -> UserPass:
        """Return the credentials for one connection.

        An error that this raises is raised where the connection was asked for; the time that this
        takes counts towards ``connect_timeout``. Pub/Sub asks again instead, after growing pauses.
        """


class UserPassCredentialProvider(AbstractCredentialProvider):
    """Returns always the same user and password."""

    def __init__(self, username: str | None = None, password: str | None = None) -> None:
        self.username = username or ""
        self.password = password or ""

    async def get_credentials(self) -> UserPass:
        """Return the user and the password; without a user, the user ``default``."""
        return UserPass(self.username or "default", self.password)
