"""What is measured: scenarios, who plays in them, and how much in the quick form."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tests.benchmarks.contestants.words import ORDER
from tests.benchmarks.jobs import Job

__all__ = ["BARE", "MAILSLOT", "SCENARIOS", "Contestant", "Scenario"]


class Contestant(msgspec.Struct, frozen=True):
    """Who plays.

    Attributes:
        label: its name in tables.
        module: of ``contestants``.
        play: the function there.
        share: its share of the messages; slow ones get fewer.
        quick: whether it plays in the quick form, too.
        changes: what is different in its job.
    """

    label: str
    module: str
    play: str
    share: float = 1.0
    quick: bool = False
    changes: dict[str, Any] = {}


class Scenario(msgspec.Struct, frozen=True):
    """One table.

    Attributes:
        name: for the command line and the gate.
        title: what it is.
        job: what all contestants do.
        contestants: who they are; ratios are to the first.
        rounds: how often, each time in fresh processes.
        quick: how often in the quick form; 0: not at all.
    """

    name: str
    title: str
    job: Job
    contestants: list[Contestant]
    rounds: int = 3
    quick: int = 0


#: Labels that ratios are made of.
BARE: Final = "bare loop"
MAILSLOT: Final = "mailslot"


def _bare(play: str, label: str = BARE, **changes: Any) -> Contestant:
    return Contestant(label, "bare", play, quick=True, changes=changes)


def _mailslot(play: str, label: str = MAILSLOT, **changes: Any) -> Contestant:
    return Contestant(label, "mailslot", play, quick=True, changes=changes)


def _redis(play: str, label: str = "redis-py", **options: Any) -> Contestant:
    return Contestant(label, "redispy", play, share=0.3, **options)


def _coredis(play: str, **options: Any) -> Contestant:
    return Contestant("coredis", "coredis_pubsub", play, share=0.1, **options)


def _glide(play: str, **options: Any) -> Contestant:
    return Contestant(f"glide {play}", "glide_pubsub", play, share=0.2, **options)


def _faststream(play: str, **options: Any) -> Contestant:
    return Contestant("FastStream", "faststream_app", play, share=0.03, **options)


# A burst of large payloads is no more than this at the server.
_MOST_BYTES = 8 << 20


def _iterators() -> list[Scenario]:
    """All sizes, decoded or not."""
    scenarios = []
    for size in (16, 64, 1024, 16_384):
        for decode in (False, True):
            job = Job("", "", size=size, decode=decode, burst=min(10_000, _MOST_BYTES // size))
            main = not decode and size == 64
            who = [_bare("iterate"), _mailslot("iterate"), _redis("listen", quick=main)]
            who.append(_coredis("iterate", quick=main))
            if main:
                who.append(_mailslot("iterate_batches", "mailslot batches"))
                who.append(_redis("get_message", label="redis-py get_message"))
            if not decode:  # glide has no such option
                who += [_glide("get"), _glide("callback", quick=main)]
            scenarios.append(
                Scenario(
                    name=f"iterator-{size}" + ("-text" if decode else ""),
                    title=f"plain channel, iterator, {size:,} bytes" + (", str" * decode),
                    job=job,
                    contestants=who,
                    rounds=5 if size in (64, 1024) and not decode else 3,
                    quick=3 if size in (64, 1024) and (main or not decode) else 0,
                )
            )
    return scenarios


def _handlers() -> list[Scenario]:
    peers = [_redis("handle"), _coredis("handle")]
    fast = _faststream("handle", quick=True)
    return [
        Scenario(
            "handler-async",
            "plain channel to an async handler, 64 bytes",
            Job("", ""),
            [_bare("iterate"), _mailslot("handle"), *peers, fast],
            rounds=5,
            quick=2,
        ),
        Scenario(
            "handler-sync",
            "plain channel to a plain function, 64 bytes",
            Job("", "", sync=True),
            [_bare("iterate"), _mailslot("handle"), *peers, fast],
        ),
        Scenario(
            "handler-struct",
            "plain channel to an async handler, decode= a Struct of five fields",
            Job("", "", payload=ORDER),
            [
                _bare("iterate"),
                _mailslot("decode_struct"),
                _bare("decode_struct", "bare loop, decoding"),
                _mailslot("handle", "mailslot, not decoding"),
            ],
            rounds=5,
            quick=2,
        ),
    ]


def _many() -> list[Scenario]:
    many = Job("", "", channels=10_000)
    one = {"channels": 1}
    return [
        Scenario(
            "channels-10000",
            "10,000 channels on one connection, iterator, 64 bytes",
            many,
            [
                _bare("iterate"),
                _mailslot("iterate"),
                _mailslot("handle_shared", "mailslot, 1 handler"),
                _bare("iterate", "bare loop, 1 channel", **one),
                _mailslot("iterate", "mailslot, 1 channel", **one),
                _redis("listen"),
                _coredis("iterate"),
            ],
            rounds=5,
            quick=2,
        ),
        Scenario(
            "handlers-1000",
            "1,000 handlers, a channel each, on one connection, 64 bytes",
            many.with_(channels=1000),
            [
                _bare("consume_each"),
                _mailslot("handle"),
                _mailslot("handle", "mailslot, 1 handler", **one),
                _redis("handle"),
                _coredis("handle"),
            ],
        ),
        Scenario(
            "handlers-10000",
            "10,000 handlers, a channel each, in a backlog of 100,000 messages of 64 bytes",
            many.with_(burst=100_000, bursts=4, collections=True),
            [
                _bare("consume_each"),
                _mailslot("handle_frozen", "mailslot, frozen"),
                _mailslot("handle", "mailslot, not frozen"),
            ],
        ),
        Scenario(
            "patterns",
            "a pattern over 1,000 channels, iterator, 64 bytes",
            many.with_(channels=1000, by="pattern"),
            [
                _bare("iterate"),
                _mailslot("iterate"),
                _redis("listen"),
                _coredis("iterate"),
                _glide("callback"),
            ],
        ),
        Scenario(
            "shards",
            "60 shard channels over three primaries, iterator, 64 bytes",
            many.with_(channels=60, by="shard"),
            [_bare("iterate"), _mailslot("iterate"), _coredis("iterate")],
        ),
        Scenario(
            "recovery",
            "60 shard channels over three primaries, with recovery and without, 64 bytes",
            many.with_(channels=60, by="shard"),
            [
                _bare("iterate"),
                _mailslot("iterate"),
                _mailslot("iterate_recovering", "mailslot, recovery", history=True),
            ],
            rounds=5,
        ),
    ]


def _streams() -> list[Scenario]:
    return [
        Scenario(
            "stream",
            "plain channel, iterator, 64 bytes, as fast as the server brings them",
            Job("", "", mode="stream", burst=1000, bursts=150, warm=20),
            [_bare("iterate"), _mailslot("iterate"), _redis("listen"), _coredis("iterate")],
            rounds=5,
        ),
        Scenario(
            "latency",
            "from PUBLISH to handler, 1,000 messages a second",
            Job("", "", mode="pace", burst=20, bursts=100, warm=10),
            [
                _bare("take_times"),
                _mailslot("take_times"),
                _redis("take_times"),
                _coredis("take_times"),
                Contestant("glide callback", "glide_pubsub", "take_times"),
                _faststream("take_times"),
            ],
            rounds=5,
            quick=1,
        ),
    ]


def _publishing() -> list[Scenario]:
    who = {
        MAILSLOT: "publish_mailslot",
        "redis-py": "publish_redispy",
        "coredis": "publish_coredis",
        "glide": "publish_glide",
    }

    def publish(play: str, title: str, burst: int, *more: Contestant) -> Scenario:
        players = [Contestant(label, module, play) for label, module in who.items()]
        more = (*more, Contestant("mailslot, history", "publish_mailslot", f"{play}_history"))
        job = Job("", "", mode="publish", burst=burst, bursts=10)
        name = f"publish-{play.replace('_', '-')}"
        return Scenario(name, f"PUBLISH of 64 bytes, {title}", job, [*players, *more])

    players = [Contestant(label, module, "at_once_shards") for label, module in who.items()]
    shards = Job("", "", mode="publish", by="shard", channels=60, burst=5000, bursts=10)
    return [
        publish("one_by_one", "one after the other", 1000),
        publish("at_once", "1,000 tasks at the same time", 5000),
        publish(
            "together",
            "1,000 in one call",
            5000,
            Contestant("mailslot, pipeline", "publish_mailslot", "pipeline"),
        ),
        Scenario(
            "publish-shards",
            "SPUBLISH of 64 bytes over three primaries, 1,000 tasks at the same time",
            shards,
            players,
        ),
    ]


def _subscriptions() -> list[Scenario]:
    alone = Job("", "", mode="alone", channels=10_000)
    again = alone.with_(mode="resubscribe", bursts=3)
    who = {"mailslot": "mailslot", "redis-py": "redispy", "coredis": "coredis_pubsub"}
    players = {
        play: [Contestant(label, module, play) for label, module in who.items()]
        for play in ("subscribe", "resubscribe", "hold", "hold_handlers", "idle")
    }
    return [
        Scenario(
            "subscribe",
            "10,000 channels in one call, until all are acknowledged",
            alone,
            [_bare("subscribe_all"), *players["subscribe"]],
        ),
        Scenario(
            "resubscribe",
            "10,000 channels, from CLIENT KILL to all subscribed again",
            again,
            players["resubscribe"],
        ),
        Scenario(
            "memory-subscriptions", "10,000 subscriptions, an iterator", alone, players["hold"]
        ),
        Scenario(
            "memory-handlers",
            "2,000 subscriptions, a handler each",
            alone.with_(channels=2000),
            players["hold_handlers"],
        ),
        Scenario(
            "idle",
            "20 connections, subscribed, without traffic",
            alone.with_(channels=20),
            players["idle"],
        ),
    ]


def _actors() -> list[Scenario]:
    queue = Contestant("asyncio.Queue", "queues", "", quick=True)
    ours = Contestant(MAILSLOT, "actors_mailslot", "", quick=True)
    pykka = Contestant("pykka", "actors_pykka", "", share=0.1)
    xoscar = Contestant("xoscar", "actors_xoscar", "", share=0.05)

    def turns(play: str, title: str, burst: int, who: list[Contestant], quick: int = 2) -> Scenario:
        players = [msgspec.structs.replace(one, play=play) for one in who]
        job = Job("", "", mode="turns", burst=burst, bursts=20, warm=2)
        return Scenario(play.replace("_", "-"), title, job, players, quick=quick)

    everyone = [queue, ours, pykka, xoscar]
    return [
        turns("tell", "tell into a running actor", 10_000, everyone),
        turns("ask", "ask with a timeout, one after another", 2000, everyone),
        turns("ping_pong", "two actors, a message to and fro", 2000, [queue, ours, pykka], 0),
        turns("ring", "100 actors in a ring, a message around", 5000, [queue, ours, pykka], 0),
        turns("fan_out", "each message to 100 actors", 20_000, [queue, ours, pykka], 0),
        turns("spawn_stop", "spawn, one message, stop", 1000, [queue, ours, pykka, xoscar]),
        Scenario(
            "memory-actors",
            "10,000 idle actors",
            Job("actors", "", mode="alone", channels=10_000),
            [msgspec.structs.replace(one, play="hold") for one in (queue, ours)],
            quick=1,
        ),
    ]


def _scale() -> list[Scenario]:
    def rows(play: str, title: str, url: bool = True) -> Scenario:
        counts = (1000, 10_000, 50_000, 100_000)
        players = [
            Contestant(f"{count:,}", "scale", play, changes={"channels": count}) for count in counts
        ]
        job = Job("" if url else "actors", "", mode="alone")
        return Scenario(f"scale-{play}", f"{title}, each; the ratio is to 1,000", job, players)

    return [
        rows("channels", "1,000 to 100,000 channels in one call"),
        rows("handlers", "1,000 to 100,000 channels in one call, with a handler for each"),
        rows("spawn", "1,000 to 100,000 actors, until all have started", url=False),
        rows("tasks", "the same of bare tasks, which wait at queues", url=False),
    ]


def _supervision() -> list[Scenario]:
    def ours(play: str, label: str = MAILSLOT, **changes: Any) -> Contestant:
        return Contestant(label, "supervision", play, quick=True, changes=changes)

    turns = Job("", "", mode="turns", burst=500, bursts=10)
    return [
        Scenario(
            "restarts",
            "an actor that crashes on each message: crash to running again",
            turns,
            [ours("restarts"), ours("restarts_logged", "mailslot, with its log lines")],
        ),
        Scenario(
            "tree",
            "a tree of depth 5 and breadth 5 (781 supervisors, 3,125 leaves), started and stopped",
            Job("actors", "", mode="alone", bursts=3),
            [ours("tree")],
        ),
        Scenario(
            "flood",
            "a heartbeat of 1 ms beside an actor with a million messages (A7)",
            Job("actors", "", mode="alone", burst=1_000_000),
            [ours("flood")],
            quick=1,
        ),
        Scenario(
            "import",
            "from actors import Redis, in a fresh interpreter",
            Job("actors", "", mode="alone", bursts=7),
            [ours("import_time")],
            quick=1,
        ),
    ]


SCENARIOS: Final[list[Scenario]] = [
    *_iterators(),
    *_handlers(),
    *_many(),
    *_streams(),
    *_publishing(),
    *_subscriptions(),
    *_actors(),
    *_scale(),
    *_supervision(),
]
