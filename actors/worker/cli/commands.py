"""The commands of ``mailslot`` (extra ``cli``)."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from typing import Annotated, Any, TypeVar

import typer

from actors.worker.cli.history_option import HistoryCommand, parsed_history
from actors.worker.cli.say import say
from actors.worker.declare.checks import actor_name
from actors.worker.process import log_setup as logs
from actors.worker.process.loader import load
from actors.worker.run.exit_codes import ConnectFailedError, ExitCode, UsageError, one_sentence
from actors.worker.run.partition import Partition
from supervisor import SpecError
from supervisor.log import printable

app = typer.Typer(
    name="mailslot",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

T = TypeVar("T")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"mailslot {version('mailslot')}")  # noqa: T201
        raise typer.Exit


Url = Annotated[str, typer.Argument(help="The URL of a server, or of a node of a cluster.")]
Cluster = Annotated[bool, typer.Option("--cluster", help="The URL is a cluster's.")]
Target = Annotated[
    str, typer.Argument(metavar="MODULE:APP", help="The module and the name of the Worker in it.")
]


@app.callback()
def mailslot(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Run, check and watch workers that consume Redis and Valkey Pub/Sub."""


@app.command()
def run(
    context: typer.Context,
    target: Target,
    url: Annotated[
        str | None, typer.Option(help="The URL of the broker, instead of the app's own.")
    ] = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Start a server for the app.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="The number of processes.")] = 1,
    partition: Annotated[
        str,
        typer.Option(metavar="I/N", help="Consume the share of machine I, from 0, of N."),
    ] = "0/1",
    fleet: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            envvar="MAILSLOT_FLEET",
            help="Be a member of this fleet: its processes share all names, also over machines.",
        ),
    ] = None,
    fleet_ttl: Annotated[
        float | None,
        typer.Option(min=0.1, help="Seconds for which a member's lease holds, by default 2."),
    ] = None,
    drain_timeout: Annotated[
        float | None,
        typer.Option(min=0.001, help="Seconds in which a stopped worker must finish its work."),
    ] = None,
    log_format: Annotated[
        str, typer.Option(help="The format of the log: console or json.")
    ] = "console",
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Answer HTTP here: health, metrics and a page."),
    ] = None,
    http_token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            envvar="MAILSLOT_HTTP_TOKEN",
            help="Let whoever has this token pause handlers, close breakers and drain.",
        ),
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Restart when a Python file changes.")
    ] = False,
    gc_freeze: Annotated[
        bool,
        typer.Option(
            "--gc-freeze/--no-gc-freeze",
            help="Take what lives long out of Python's garbage collection.",
        ),
    ] = True,
) -> int:
    """Run a worker until SIGTERM or SIGINT; then drain it."""
    # Imported here, as in the other commands: none of them needs what the others need.
    from actors.worker.http.hosts import parse_address  # noqa: PLC0415
    from actors.worker.process.launch import launch  # noqa: PLC0415
    from actors.worker.process.runner import RunOptions  # noqa: PLC0415

    if log_format not in logs.FORMATS:
        raise typer.BadParameter(f"--log-format is {' or '.join(logs.FORMATS)}: {log_format!r}")
    source = context.get_parameter_source("http_token")
    if http is None and source is not None and source.name == "COMMANDLINE":
        raise typer.BadParameter("--http-token is for the port of --http: give that, too")
    if embedded and url is not None:
        raise typer.BadParameter("--embedded starts a server: leave out --url")
    options = RunOptions(
        target=target,
        url=url,
        embedded=embedded,
        processes=processes,
        partition=_parsed(Partition.parse, partition, "--partition: "),
        fleet=fleet,
        fleet_ttl=fleet_ttl,
        drain_timeout=drain_timeout,
        log_format=log_format,
        http=None if http is None else _parsed(parse_address, http),
        http_token=http_token or None,
        reload=reload,
        freeze=gc_freeze,
    )
    return _guarded(lambda: launch(options))


@app.command()
def check(target: Target) -> int:
    """List what a worker consumes, or its problems.

    Nothing connects.
    """

    def checked() -> int:
        worker = load(target)
        worker.validate()
        lines = [f"{target}: worker {worker.name!r} on {worker.broker}"]
        lines += [f"  {route}: {route.handler_name}" for route in worker.routes]
        lines += [f"  {group}: {group.route.handler_name}" for group in worker.groups]
        lines += [f"  actor {actor_name(actor)}" for actor in worker.actors]
        print("\n".join(map(printable, lines)))  # noqa: T201
        return ExitCode.DRAINED

    return _guarded(checked)


@app.command()
def docs(
    target: Target,
    format: Annotated[str, typer.Option(help="The format of the document: yaml or json.")] = "yaml",
) -> int:
    """Print the AsyncAPI document of a worker.

    The document says what the worker consumes, in AsyncAPI 3. Nothing connects.
    """
    from actors.worker.cli.docs import FORMATS, print_document  # noqa: PLC0415

    if format not in FORMATS:
        raise typer.BadParameter(f"--format is {' or '.join(FORMATS)}: {format!r}")
    return _guarded(lambda: print_document(target, format))


@app.command()
def tail(
    url: Url,
    channels: Annotated[
        list[str], typer.Argument(metavar="CHANNEL...", help="The channels to subscribe to.")
    ],
    pattern: Annotated[
        bool, typer.Option("--pattern", help="Each CHANNEL is a pattern, orders.* for instance.")
    ] = False,
    shard: Annotated[
        bool, typer.Option("--shard", help="Each CHANNEL is a shard channel.")
    ] = False,
    cluster: Cluster = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print each message as a JSON object.")
    ] = False,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after this many messages.")] = None,
) -> int:
    """Print messages as they arrive, and gaps to stderr."""
    from actors.worker.cli.tail import Tail, print_messages  # noqa: PLC0415

    if pattern and shard:
        raise typer.BadParameter("shard channels have no patterns: --pattern or --shard")
    logs.configure("console", level=logging.ERROR)
    what = Tail(url, tuple(channels), pattern, shard, cluster or shard, json, count)
    return _guarded(lambda: _run_async(print_messages(what)))


@app.command(cls=HistoryCommand)
def publish(
    url: Url,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel to publish on.")],
    message: Annotated[
        str, typer.Argument(metavar="MESSAGE", help="The payload; - reads it from stdin.")
    ],
    shard: Annotated[bool, typer.Option("--shard", help="CHANNEL is a shard channel.")] = False,
    cluster: Cluster = False,
    history: Annotated[
        str | None,
        typer.Option(
            metavar="[N]",
            help="Keep the message in the channel's history, of N messages, by default 10000.",
        ),
    ] = None,
) -> int:
    """Publish a message.

    Print how many subscribers received it, or its id in the history.
    """
    from actors.worker.cli.tail import publish_message  # noqa: PLC0415

    kept = None if history is None else _parsed(parsed_history, history, "--history: ")
    payload = sys.stdin.buffer.read() if message == "-" else os.fsencode(message)
    logs.configure("console", level=logging.ERROR)
    sending = publish_message(
        url, channel, payload, cluster=cluster or shard, shard=shard, history=kept
    )
    return _guarded(lambda: _run_async(sending))


@app.command()
def top(
    address: Annotated[
        str, typer.Argument(metavar="HOST:PORT", help="The address of the worker's --http.")
    ] = "127.0.0.1:8080",
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two updates.")] = 1.0,
) -> int:
    """Watch a running worker in the terminal.

    Its tree, rates, mailboxes, restarts, gaps and failures.
    """
    from actors.worker.cli.top import run_top  # noqa: PLC0415
    from actors.worker.http.hosts import parse_address  # noqa: PLC0415

    where = _parsed(parse_address, address)
    return _guarded(lambda: run_top(where, interval))


@app.command()
def fleet(
    url: Url,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the fleet.")],
    cluster: Cluster = False,
    drain: Annotated[
        str | None,
        typer.Option(metavar="MEMBER", help="Have this member give all its names to others."),
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Show all names that members own.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every second.")] = False,
) -> int:
    """Show a fleet, or have a member leave it.

    Its view, its members, who owns what, rates and waiting messages.
    """
    from actors.worker.cli.fleet import FleetLook, look_at_fleet  # noqa: PLC0415

    if drain is not None and watch:
        raise typer.BadParameter("--drain ends when the member has left: leave out --watch")
    logs.configure("console", level=logging.ERROR)
    look = FleetLook(url, name, cluster, drain, names, 1.0 if watch else None)
    return _guarded(lambda: _run_async(look_at_fleet(look)))


def _run_async(command: Coroutine[Any, Any, int]) -> int:
    """Run ``command``; SIGTERM and SIGINT cancel it, so that its connections are closed.

    Raises:
        SystemExit: a signal ended it.
    """
    codes = {signal.SIGTERM: ExitCode.FORCED_TERM, signal.SIGINT: ExitCode.FORCED_INT}
    came: list[signal.Signals] = []

    async def cancelled_by_signals() -> int:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None

        def cancel(signum: signal.Signals) -> None:
            came.append(signum)
            task.cancel()

        for signum in codes:
            loop.add_signal_handler(signum, cancel, signum)
        return await command

    try:
        return asyncio.run(cancelled_by_signals())
    except asyncio.CancelledError:
        raise SystemExit(codes[came[0]] if came else ExitCode.FORCED_INT) from None
    finally:
        command.close()  # a signal may have come before its first step


def _guarded(action: Any) -> int:
    """Run ``action``; print an error of the user or of the broker as one sentence."""
    try:
        return int(action())
    except (UsageError, SpecError, ConnectFailedError) as error:
        say(one_sentence(error))
        lost = isinstance(error, ConnectFailedError)
        return ExitCode.NOT_CONNECTED if lost else ExitCode.USAGE


def _parsed(parse: Callable[[str], T], text: str, option: str = "") -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}{error}") from None
