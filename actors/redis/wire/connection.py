"""One connection to one server: opens it, sends commands, waits for replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from math import isinf
from typing import Any, Final, Self

from actors.redis.config.credentials import UserPass
from actors.redis.config.settings import DEFAULT_CONNECT_TIMEOUT, ConnectionSettings
from actors.redis.exceptions import ConnectionError, ConnectTimeoutError  # noqa: A004
from actors.redis.wire.addresses import (
    addresses_of,
    delay_between,
    first_to_answer,
)
from actors.redis.wire.connect import connect, failure
from actors.redis.wire.connect_progress import ConnectProgress
from actors.redis.wire.handshake import greet, number_of
from actors.redis.wire.patience import Patience
from actors.redis.wire.pending_reply import FuturePending
from actors.redis.wire.protocol import RespProtocol
from actors.redis.wire.resp import Argument, pack
from actors.redis.wire.subscribed import refuse_on_subscribed

# Stands for ``stream_timeout`` of the settings.
_STREAM_TIMEOUT: Final = -1.0
_OR_TLS: Final = " or did not finish the TLS handshake; does that port speak TLS?"


class Connection(RespProtocol):
    """A connection to one server, speaking RESP3. Made by :meth:`open`."""

    def __init__(self, settings: ConnectionSettings) -> None:
        super().__init__(settings)
        #: The loop's time when the credentials expire; None: never.
        self.credentials_expire_at: float | None = None
        #: Whether a subscriber reads this connection: some commands are refused then.
        self.subscribed = False
        #: The connection's number at the server, and the server's version; None where it says none.
        self.client_id: int | None = None
        self.server_version: str | None = None

    @classmethod
    async def open(
        cls, settings: ConnectionSettings, *, progress: ConnectProgress | None = None
    ) -> Self:
        """Connect and do the handshake.

        Args:
            settings: where to connect to, and how.
            progress: is kept up to date, for a caller with a time limit of its own.

        Raises:
            ConnectTimeoutError: it took longer than ``connect_timeout``; a TimeoutError.
            ConnectionError: says the cause and what to check.
            AuthenticationError, AuthorizationError: the server refuses the credentials or the user.
            Exception: the credential provider's own error.
        """
        where = settings.location
        progress = progress or ConnectProgress()
        progress.waits_for_provider(where, ConnectTimeoutError)
        try:
            async with Patience(settings.connect_timeout) as limit:
                credentials = await settings.get_credentials()
                progress.waits(where, "its name was not resolved", ConnectTimeoutError)
                try:
                    addresses = await addresses_of(where)
                except (OSError, UnicodeError) as error:
                    raise failure(where, error) from error
                return await cls._open_any(settings, credentials, addresses, progress)
        except TimeoutError:
            if not limit.expired():
                raise
            raise progress.timed_out(f"{settings.connect_timeout} s") from None

    @classmethod
    async def _open_any(
        cls,
        settings: ConnectionSettings,
        credentials: UserPass | None,
        addresses: list[str],
        progress: ConnectProgress,
    ) -> Self:
        """Connect to the first of ``addresses`` that answers."""
        where = settings.location
        if len(addresses) <= 1:
            at = addresses[0] if addresses else ""
            note = partial(progress.waits, where, kind=ConnectTimeoutError)
            return await cls._open_at(settings, credentials, at, note)
        progress.waits(where, "", ConnectTimeoutError)
        attempts = {
            at: partial(cls._open_at, settings, credentials, at, partial(progress.waits_at, at))
            for at in addresses
        }
        delay = delay_between(len(addresses), settings.connect_timeout)
        return await first_to_answer(where, attempts, delay)

    @classmethod
    async def _open_at(
        cls,
        settings: ConnectionSettings,
        credentials: UserPass | None,
        address: str,
        note: Callable[[str], None],
    ) -> Self:
        """Connect to ``address`` and do the handshake; ``note`` is told what is waited for."""
        note("it did not accept the connection" + ("" if settings.ssl_context is None else _OR_TLS))
        connection: Self | None = None
        try:
            connection = await connect(lambda: cls(settings), settings, address)
            note("it accepted the connection and did not answer; is it a Redis server?")
            await connection._greet(credentials)
            if connection.lost is not None:
                raise connection._loss()
            return connection
        except BaseException as error:
            if isinstance(error, Exception):
                note(str(error))
            if connection is not None:
                connection.abort(error)
            raise

    async def _greet(self, credentials: UserPass | None) -> None:
        try:
            hello = await greet(self, credentials)
        except ConnectionError as error:
            if self.lost is None or self.bytes_read or self.settings.ssl_context is not None:
                raise
            raise type(error)(
                f"{error}, without an answer; if that port speaks TLS, use ssl=True, rediss:// or valkeys://"
            ) from error.__cause__
        version = hello.get(b"version")
        self.client_id = number_of(hello.get(b"id"))
        if isinstance(version, bytes):
            self.server_version = version.decode("ascii", "replace")
        self._note_expiry(credentials)
        if self.settings.noreply:
            self.write(pack(("CLIENT", "REPLY", "OFF")))
            self.noreply = True

    # --- Commands ---------------------------------------------------------------------------------

    def send_command(self, *args: Argument) -> asyncio.Future[Any]:
        """Send a command and return a future of its reply; an error reply is its exception.

        Raises:
            DataError: an argument cannot be sent.
            PubSubError: the command would disturb the subscriptions of the connection.
            ConnectionError: the connection is closed.
        """
        data = self._pack(args)
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.noreply:
            self.write(data)
            future.set_result(None)
        else:
            self.write(data, FuturePending(future))
        return future

    def _pack(self, args: tuple[Argument, ...]) -> bytes:
        if self.subscribed:
            refuse_on_subscribed(args)
        return pack(args, self.settings.encoding)

    async def execute(self, *args: Argument, timeout: float | None = _STREAM_TIMEOUT) -> Any:
        """Send a command and return its reply, strings as bytes; None with ``noreply``.

        Args:
            timeout: seconds to wait for the reply, None: no limit; by default ``stream_timeout`` of
                the settings. A timeout closes the connection: the late reply would be taken for the
                reply to the next command.

        Raises:
            TimeoutError: no reply in time.
            ConnectionError: the connection is closed, or ended before the reply came.
            DataError: an argument cannot be sent.
            RedisError: the server's error reply.
        """
        if timeout == _STREAM_TIMEOUT:
            timeout = self.settings.stream_timeout
        future = self.send_command(*args)
        if timeout is None:
            return await self._finish(future)
        try:
            async with Patience(timeout) as limit:
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

    async def execute_blocking(self, seconds: float, *args: Argument) -> Any:
        """Send a command that blocks for ``seconds`` at most, and return its reply.

        The reply may take ``stream_timeout`` longer than that. Raises what :meth:`execute` does.
        """
        limit = self.settings.stream_timeout
        timeout = None if limit is None or isinf(seconds) else seconds + limit
        return await self.execute(*args, timeout=timeout)

    async def _finish(self, future: asyncio.Future[Any]) -> Any:
        try:
            if not self._writable.is_set():
                await self.drain_writes()
        except BaseException:
            # Nobody awaits the future any more: without this, asyncio would log its exception.
            future.cancel()
            raise
        return await future

    async def reauthenticate(self) -> None:
        """Ask for credentials and authenticate with them, also on a subscribed connection.

        The connection stays as it is whatever comes of that. An answer that comes late is taken for
        what it is.

        Raises:
            TimeoutError: it took longer than ``connect_timeout``, or 5 s where that is None.
            AuthenticationError: the server refuses the credentials.
            ConnectionError: the connection is closed, or ended before the answer came.
            Exception: the credential provider's own error.
        """
        within = self.settings.connect_timeout or DEFAULT_CONNECT_TIMEOUT
        missing = "the credential provider did not answer"
        try:
            async with asyncio.timeout(within) as limit:
                credentials = await self.settings.get_credentials()
                if credentials is not None:
                    missing = f"{self.location} did not answer AUTH"
                    user = credentials.username or "default"
                    await self._finish(self.send_command("AUTH", user, credentials.password))
                    self._note_expiry(credentials)
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(f"{missing} within {within} s") from None

    def _note_expiry(self, credentials: UserPass | None) -> None:
        expires_in = getattr(credentials, "expires_in", None)
        self.credentials_expire_at = None if expires_in is None else self._now() + expires_in
