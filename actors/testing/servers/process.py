"""One server process: start, stop, kill, pause, resume; the guard ends what is left of it.

Methods that do not wait are plain ones: :meth:`~ServerProcess.kill`, :meth:`~ServerProcess.pause`,
:meth:`~ServerProcess.resume`. Methods that wait for the server exist twice: as a coroutine (``await
server.start()``) and, for code outside asyncio, with the suffix ``_sync`` (``start_sync()``). Both
run the same steps (:mod:`actors.testing.servers.steps`).
"""

from __future__ import annotations

import ipaddress
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

from actors.testing.servers.args import ServerArgs, as_words
from actors.testing.servers.binary import ServerBinary
from actors.testing.servers.guard import PID_FILE, new_folder, release_folder
from actors.testing.servers.ports import PortReservation
from actors.testing.servers.readiness import PingProbe
from actors.testing.servers.steps import Steps, drive, drive_sync

_POLL = 0.004
_PORT_TRIES = 5
_LOG = "server.log"
_SOCKET = "s.sock"
# The shell writes its own number into the pid file and becomes the server: the guard knows the
# number before the server runs.
_LAUNCH = ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"']


class ServerStartError(RuntimeError):
    """The server ended instead of starting; the message has the end of its log."""


class ServerStartTimeoutError(ServerStartError, TimeoutError):
    """The server did not answer within ``start_timeout`` and was killed."""


class ServerProcess:
    """A Valkey or Redis server in a temporary folder, without persistence, on loopback.

    Folder and port stay the same from the first start until :meth:`close`, whatever happens to the
    process in between.

    Args:
        binary: the program, from :func:`~actors.testing.servers.binary.find_binary`.
        host: a loopback address.
        port: the TCP port; None takes a free one and keeps it reserved while the server is down.
        unix_socket: listen on a unix socket in the folder, and on no TCP port.
        cluster: keep the cluster bus port, 10,000 above, free as well.
        args: further configuration: a sequence is passed to the program as it is; a mapping's
            ``{"maxmemory_policy": "noeviction", "maxclients": 10, "activedefrag": False}`` becomes
            ``--maxmemory-policy noeviction --maxclients 10 --activedefrag no``, and a list or tuple
            as a value becomes several words.
        start_timeout: seconds that the server may take until it answers.
    """

    def __init__(
        self,
        binary: ServerBinary,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        unix_socket: bool = False,
        cluster: bool = False,
        args: ServerArgs = (),
        start_timeout: float = 10.0,
    ) -> None:
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"host must be a loopback address, not {host!r}")
        if unix_socket and (port is not None or cluster):
            raise ValueError("unix_socket turns TCP off: it goes with neither port nor cluster")
        self.binary = binary
        self.host = "127.0.0.1" if host == "localhost" else host
        self.start_timeout = start_timeout
        self._wanted_port = port
        self._unix_socket = unix_socket
        self._cluster = cluster
        self._args = as_words(args)
        self._folder: Path | None = None
        self._reservation: PortReservation | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False

    # --- questions ---

    @property
    def folder(self) -> Path:
        """The folder of the server, with its log; RuntimeError before the first start."""
        if self._folder is None:
            raise RuntimeError("the server was not started, or is closed: it has no folder")
        return self._folder

    @property
    def port(self) -> int:
        """The TCP port; 0 with a unix socket; RuntimeError before a free one was chosen."""
        if self._unix_socket:
            return 0
        if self._reservation is not None:
            return self._reservation.port
        if self._wanted_port is None:
            raise RuntimeError("the server was not started, or is closed: it has no port")
        return self._wanted_port

    @property
    def unix_socket_path(self) -> str | None:
        """The path of the unix socket; None when the server listens on TCP."""
        return str(self.folder / _SOCKET) if self._unix_socket else None

    @property
    def url(self) -> str:
        """What a client connects to: ``redis://127.0.0.1:6379`` or ``unix:///tmp/x/s.sock``."""
        if self._unix_socket:
            return f"unix://{self.unix_socket_path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis://{host}:{self.port}"

    @property
    def flavour(self) -> str:
        """``"valkey"`` or ``"redis"``."""
        return self.binary.flavour

    @property
    def version(self) -> tuple[int, int, int]:
        """The server's version, such as ``(9, 1, 2)``."""
        return self.binary.version

    @property
    def pid(self) -> int | None:
        """The process id; None while nothing runs."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def paused(self) -> bool:
        """Whether the process is stopped by :meth:`pause`."""
        return self._paused

    @property
    def running(self) -> bool:
        """Whether the process exists, paused or not."""
        return self._process is not None and self._process.poll() is None

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the server's log."""
        log = self.folder / _LOG
        text = log.read_text(errors="replace") if log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def __repr__(self) -> str:
        where = self.url if self._folder is not None else "not started"
        state = "paused" if self._paused else "running" if self.running else "down"
        return f"<{type(self).__name__} {self.binary} {where} {state}>"

    # --- methods that do not wait ---

    def kill(self) -> None:
        """End the process with SIGKILL and reap it; do nothing if none runs."""
        if self._process is not None:
            if self.running:
                self._process.kill()
            self._process.wait()
            self._forget_process()

    def pause(self) -> None:
        """Stop the process with SIGSTOP: connections stay open and get no answer."""
        self._signal(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Continue a paused process (SIGCONT)."""
        self._signal(signal.SIGCONT)
        self._paused = False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or not self.running:
            raise RuntimeError(f"{self!r} has no process to send {number.name} to")
        self._process.send_signal(number)

    # --- methods that wait ---

    async def start(self) -> None:
        """Start the process and wait until it answers PING.

        Raises:
            ServerStartError: the process ended; ServerStartTimeoutError: no answer in time.
            RuntimeError: the process runs already.
        """
        await drive(self._starting())

    def start_sync(self) -> None:
        """:meth:`start` for code outside asyncio."""
        drive_sync(self._starting())

    async def stop(self, timeout: float = 5.0) -> None:
        """Ask the process to end (SIGTERM), and kill it after ``timeout`` seconds."""
        await drive(self._stopping(timeout))

    def stop_sync(self, timeout: float = 5.0) -> None:
        """:meth:`stop` for code outside asyncio."""
        drive_sync(self._stopping(timeout))

    async def restart(self) -> None:
        """Stop the process and start another one on the same port, in the same folder."""
        await self.stop()
        await self.start()

    def restart_sync(self) -> None:
        """:meth:`restart` for code outside asyncio."""
        self.stop_sync()
        self.start_sync()

    def close(self) -> None:
        """Kill the process, remove its folder and release its port; a new start is possible."""
        self.kill()
        if self._folder is not None:
            release_folder(self._folder)
            self._folder = None
        self._release_port()

    # --- the steps: each yields the seconds to wait before the next ---

    def _starting(self) -> Steps:
        if self.running:
            raise RuntimeError(f"{self!r} runs already")
        self._forget_process()
        if self._folder is None:
            self._folder = new_folder()
        for last in (False,) * (_PORT_TRIES - 1) + (True,):
            try:
                self._launch()
                yield from self._until_ready()
            except BaseException as error:
                self.kill()
                if last or not self._lost_its_port(error):
                    raise
                self._release_port()
            else:
                return

    def _launch(self) -> None:
        if not self._unix_socket and self._reservation is None:
            self._reservation = self._reserve_port()
        with (self.folder / _LOG).open("ab") as log:
            self._process = subprocess.Popen(
                [*_LAUNCH, str(self.folder / PID_FILE), str(self.binary.path), *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                # Ctrl-C in the terminal does not reach the server: the program ends it.
                start_new_session=True,
            )

    def _reserve_port(self) -> PortReservation:
        try:
            return PortReservation(self.host, self._wanted_port or 0, cluster=self._cluster)
        except OSError as error:
            raise ServerStartError(f"{self.binary} was not started: {error.strerror}") from error

    def _command(self) -> list[str]:
        words = ["--dir", str(self.folder), "--save", "", "--appendonly", "no"]
        words += ["--bind", self.host, "--port", str(self.port)]
        if self._unix_socket:
            words += ["--unixsocket", str(self.unix_socket_path), "--unixsocketperm", "700"]
        return [*words, *self._args]

    def _until_ready(self) -> Steps:
        assert self._process is not None
        deadline = time.monotonic() + self.start_timeout
        probe = PingProbe(self.unix_socket_path or (self.host, self.port))
        with closing(probe):
            while not probe.answered():
                if self._process.poll() is not None:
                    why = f"it ended with exit code {self._process.returncode}"
                    raise ServerStartError(self._failure(why))
                if time.monotonic() >= deadline:
                    why = f"no answer to PING within {self.start_timeout:g} s"
                    raise ServerStartTimeoutError(self._failure(why))
                yield _POLL

    def _failure(self, why: str) -> str:
        tail = self.log_tail() or "(nothing)"
        indented = "\n".join(f"    {line}" for line in tail.splitlines())
        return f"{self.binary} did not start on {self.url}: {why}. Its log ends:\n{indented}"

    def _lost_its_port(self, error: BaseException) -> bool:
        """Whether another process took the port meanwhile, which is possible outside Linux."""
        chosen = self._wanted_port is None and not self._unix_socket
        return chosen and isinstance(error, ServerStartError) and "in use" in str(error)

    def _stopping(self, timeout: float) -> Steps:
        if self.running:
            if self._paused:
                self.resume()  # a stopped process does not handle SIGTERM
            self._signal(signal.SIGTERM)
            deadline = time.monotonic() + timeout
            while self.running and time.monotonic() < deadline:
                yield _POLL
        self.kill()

    def _forget_process(self) -> None:
        self._process = None
        self._paused = False
        if self._folder is not None:
            # The process is reaped: another one may get its number, and the guard must not kill it.
            (self._folder / PID_FILE).unlink(missing_ok=True)

    def _release_port(self) -> None:
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None
