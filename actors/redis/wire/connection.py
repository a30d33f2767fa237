"""One connection: made and greeted, commands sent, replies awaited."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self

from actors.redis import exceptions
from actors.redis.config.credentials import UserPass
from actors.redis.config.locations import Location
from actors.redis.config.settings import ConnectionSettings
from actors.redis.exceptions import ConnectTimeoutError
from actors.redis.wire.connect import connect
from actors.redis.wire.connect_progress import ConnectProgress
from actors.redis.wire.handshake import greet
from actors.redis.wire.pending_reply import FuturePending, Pending
from actors.redis.wire.protocol import CloseCallback, RespProtocol
from actors.redis.wire.resp import Argument, pack

__all__ = ["CloseCallback", "Connection", "ConnectionSettings", "FuturePending", "Pending"]

_STREAM_TIMEOUT: Final = -1.0
_OR_TLS: Final = " or did not finish the TLS handshake; does that port speak TLS?"
_SKIP_REPLY: Final = pack(("CLIENT", "REPLY", "SKIP"))


class Connection(RespProtocol):
    """A connection to one server, speaking RESP3. Made by :meth:`open`."""

    def __init__(self, settings: ConnectionSettings, location: Location) -> None:
        super().__init__(settings, location)
        #: The connection's id at the server, and the server's version.
        self.client_id: int | None = None
        self.server_version: str | None = None
        #: The loop's time when the credentials end; None: never.
        self.credentials_expire_at: float | None = None

    @classmethod
    async def open(
        cls,
        settings: ConnectionSettings,
        *,
        location: Location | None = None,
        progress: ConnectProgress | None = None,
    ) -> Self:
        """Connect and greet.

        Args:
            settings: what to connect to, and how.
            location: goes before the one of the settings.
            progress: told what is waited for, for who may give this up before ``connect_timeout``.

        Raises:
            ConnectTimeoutError: not done within ``connect_timeout``; a TimeoutError.
            ConnectionError: not connected; with the cause and what to check.
            AuthenticationError, AuthorizationError: the server does not want this user.
            Exception: what the credential provider raised.
        """
        where = location or settings.location
        progress = progress or ConnectProgress()
        progress.waits(where, "the credential provider did not answer", ConnectTimeoutError)
        connection: Self | None = None
        try:
            async with asyncio.timeout(settings.connect_timeout) as limit:
                credentials = await settings.get_credentials()
                tls = "" if settings.ssl_context is None else _OR_TLS
                missing = f"it did not accept the connection{tls}"
                progress.waits(where, missing, ConnectTimeoutError)
                connection = await connect(lambda: cls(settings, where), settings, where)
                missing = "it accepted the connection and did not answer; is it a Redis server?"
                progress.waits(where, missing, ConnectTimeoutError)
                await connection._greet(credentials)
                if connection.lost is not None:
                    raise connection._loss()
                return connection
        except BaseException as error:
            if connection is not None:
                connection.abort(error)
            if isinstance(error, TimeoutError) and limit.expired():
                raise progress.timed_out(f"{settings.connect_timeout} s") from None
            raise

    async def _greet(self, credentials: UserPass | None) -> None:
        try:
            greeting = await greet(self, credentials)
        except exceptions.ConnectionError as error:
            if self.lost is None or self.bytes_read or self.settings.ssl_context is not None:
                raise
            raise type(error)(
                f"{error}, without an answer; if that port speaks TLS, use ssl=True or rediss://"
            ) from error.__cause__
        self.client_id = greeting.client_id
        self.server_version = greeting.server_version
        self._note_expiry(credentials)
        if self.settings.noreply:
            self.write(pack(("CLIENT", "REPLY", "OFF")))
            self.noreply = True

    # --- Commands ---------------------------------------------------------------------------------

    def send_command(self, *args: Argument) -> asyncio.Future[Any]:
        """Send a command without waiting; the future gets its reply, or its error as exception.

        Raises:
            DataError: an argument cannot be sent.
            ConnectionError: the connection is closed.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        data = pack(args, self.settings.encoding)
        if self.noreply:
            self.write(data)
            future.set_result(None)
        else:
            self.write(data, FuturePending(future))
        return future

    def post(self, *args: Argument) -> None:
        """Send a command and tell the server not to answer it.

        Raises:
            DataError: an argument cannot be sent.
            ConnectionError: the connection is closed.
        """
        data = pack(args, self.settings.encoding)
        self.write(data if self.noreply else _SKIP_REPLY + data)

    async def execute(self, *args: Argument, timeout: float | None = _STREAM_TIMEOUT) -> Any:
        """Send a command and return its reply, strings as bytes; None where replies are off.

        Args:
            timeout: seconds until the reply must be there, None: no limit; ``stream_timeout`` of
                the settings where it is not given. At a timeout the connection is closed: the late
                reply would be taken for that of the next command.

        Raises:
            TimeoutError: no reply in time.
            ConnectionError: the connection is closed, or was before the reply came.
            DataError: an argument cannot be sent.
            RedisError: what the server answered.
        """
        if timeout == _STREAM_TIMEOUT:
            timeout = self.settings.stream_timeout
        future = self.send_command(*args)
        if timeout is None:
            return await self._finish(future)
        try:
            async with asyncio.timeout(timeout) as limit:
                return await self._finish(future)
        except TimeoutError:
            if not limit.expired():
                raise
            error = TimeoutError(
                f"{self.location} did not answer {str(args[0])!r:.40} within {timeout} s; "
                "the connection was closed"
            )
            self.abort(error)
            raise error from None

    async def _finish(self, future: asyncio.Future[Any]) -> Any:
        try:
            if not self._writable.is_set():
                await self.drain_writes()
        except BaseException:
            # Nobody awaits it any more, and its reply, or its failure, still comes.
            future.cancel()
            raise
        return await future

    async def reauthenticate(self) -> None:
        """Ask for credentials again and authenticate with them, subscribed or not.

        Raises:
            what :meth:`execute` does, and what the credential provider raised.
        """
        credentials = await self.settings.get_credentials()
        if credentials is not None:
            await self.execute("AUTH", credentials.username or "default", credentials.password)
            self._note_expiry(credentials)

    def _note_expiry(self, credentials: UserPass | None) -> None:
        expires_in = getattr(credentials, "expires_in", None)
        self.credentials_expire_at = None if expires_in is None else self._now() + expires_in
