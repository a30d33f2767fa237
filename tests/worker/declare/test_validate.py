"""All that is wrong with a worker is said at once, before anything is connected."""

from __future__ import annotations

import re
from typing import Any

import pytest

from actors import Actor, Breaker, MailboxSpec
from actors.worker import Worker
from actors.worker.process.runner import RunOptions
from supervisor import SpecError
from tests.worker.helpers import Customer, Order, make_worker


def problems_of(app: Worker[Any]) -> tuple[str, ...]:
    with pytest.raises(SpecError) as raised:
        app.validate()
    return raised.value.problems


async def handler(message): ...


def test_all_problems_are_listed_at_once():
    app = make_worker("http://localhost", drain_timeout=0)

    @app.channel("orders")
    async def first(message): ...

    @app.channel("orders")
    async def second(message): ...

    @app.channel("users")
    async def wrong(): ...

    app.handle("topic", "news")(handler)
    app.shard_channel("a")(handler)
    app.channel("")(handler)
    app.channel("b", mailbocks=3)(handler)  # type: ignore[call-arg]
    app.channel("c", concurrency=0)(handler)
    app.channel("d", in_thread=True)(handler)
    app.channel("e")(42)  # type: ignore[type-var]
    app.actor(print)  # type: ignore[call-overload]
    app.actor(Actor, nam="x")
    app.on_startup(lambda one, two: None)
    app.middleware(lambda message, proceed: None)

    found = problems_of(app)
    for says in [
        "unknown URL scheme 'http'",
        "drain_timeout must be more than 0",
        "channel 'orders' has 2 handlers",
        "channel 'users' (test_all_problems_are_listed_at_once.<locals>.wrong): it takes no",
        "unknown kind 'topic': one of channel, pattern, shard_channel",
        "only clusters have shard channels",
        "the name must be a str or bytes",
        "Handler has no option 'mailbocks'",
        "concurrency must be 1 to",
        "in_thread is for plain functions",
        "must be callable or an Actor class, not 42",
        "@app.actor is for Actor classes",
        "an actor has no option 'nam'",
        "start-up hook",
        "it must be a coroutine function: async (message, next)",
    ]:
        assert any(says in problem for problem in found), (says, found)
    assert len(found) == 15


def test_one_name_may_be_a_channel_and_a_pattern():
    app = make_worker()
    app.channel("orders")(handler)
    app.pattern("orders")(handler)
    app.validate()


def test_a_worker_without_anything_to_do_is_refused():
    (problem,) = problems_of(make_worker())
    assert "nothing to run" in problem


def test_actors_alone_are_enough():
    app = make_worker()
    app.actor(Actor)
    app.validate()


def test_a_context_that_nobody_declared_is_explained():
    app = make_worker()

    @app.channel("orders")
    async def on_order(order: Order, customer: Customer): ...

    (problem,) = problems_of(app)
    assert "give the Worker context= or context_type=" in problem


def test_options_of_handlers_are_checked():
    app = make_worker()
    app.channel("a", decode=Order, key="id", concurrency=4, timeout=1.0, breaker=Breaker(3))(
        handler
    )
    app.validate()
    app.channel("b", key="id")(handler)
    (problem,) = problems_of(app)
    assert "key orders what runs side by side" in problem


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("mailbox", 0, "mailbox: capacity must be 1 or more, not 0"),
        ("overflow", "bogus", "overflow must be one of drop_oldest, drop_newest, block"),
        ("overflow", "fail", "a server cannot be told"),
        ("intensity", -1, "intensity must be 0 or more"),
        ("intensity", "5", "intensity must be a whole number"),
        ("period", 0, "period must be more than 0 seconds"),
        ("retry_policy", "x", "retry_policy must be a RetryPolicy"),
        ("subscription_timeout", -1, "subscription_timeout must be more than 0"),
        ("subscription_timeout", None, "subscription_timeout must be a number of seconds, not"),
        ("drain_timeout", "5", "drain_timeout must be a number of seconds, not '5'"),
        ("drain_timeout", float("nan"), "drain_timeout must be more than 0 seconds, not nan"),
        ("probe_interval", "1", "probe_interval must be a number of seconds, or None, not '1'"),
        ("on_failure", 3, "on_failure must be a function"),
        ("on_gap", 3, "on_gap must be a function"),
        ("sink", 3, "sink must be a function"),
        ("name", "", "name must be a str with something in it"),
    ],
)
def test_options_of_the_worker_are_checked(option, value, says):
    app = make_worker(**{option: value})
    app.channel("a")(handler)
    (problem,) = problems_of(app)
    assert says in problem


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mailbox": 0}, "mailbox: capacity must be 1 or more, not 0"),
        ({"mailbox": "5"}, "mailbox: capacity must be a whole number"),
        ({"mailbox": MailboxSpec(5)}, "a MailboxSpec needs an overflow here, one of drop_oldest"),
        ({"overflow": "bogus"}, "overflow must be one of drop_oldest, drop_newest, block"),
        ({"overflow": "fail"}, "a server cannot be told"),
        ({"timeout": "5"}, "timeout must be a number of seconds, or None, not '5'"),
        ({"concurrency": "8", "key": "id"}, "concurrency must be a whole number, not '8'"),
        ({"concurrency": 2, "key": 5}, "key must be a function, or the name of an attribute"),
        ({"on_failure": 3}, "on_failure must be a function"),
        ({"on_gap": 3}, "on_gap must be a function"),
        ({"on_lagged": 3}, "on_lagged must be a function"),
        ({"decode": 5}, "nothing can be decoded to 5"),
        ({"breaker": 5}, "breaker must be a Breaker"),
        ({"in_thread": "yes"}, "in_thread must be True or False"),
        ({"format": "xml"}, "format must be one of json, msgpack"),
    ],
)
def test_each_option_of_a_handler_is_checked(options, says):
    app = make_worker()
    app.channel("a", **options)(handler)
    (problem,) = problems_of(app)
    assert problem.startswith("channel 'a' (handler): ")
    assert says in problem


class Plain: ...


def two(one, other): ...


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"decode": Plain}, "msgspec makes no Plain"),
        ({"decode": two}, "decode is called with one argument"),
        ({"decode": print, "format": "msgpack"}, "format is for types"),
        ({"decode": Order, "key": "nothing", "concurrency": 2}, "is no field of Order"),
        ({"key": "nothing", "concurrency": 2}, "is no field of PubSubMessage"),
        ({"decode": Order, "key": two, "concurrency": 2}, "key is called with one argument"),
    ],
)
@pytest.mark.parametrize("several", [False, True])
async def test_payloads_and_keys_that_cannot_work_are_found_before_the_start(
    options, says, several
):
    app = make_worker()
    if several:
        app.channels(["a", "b"], handler, **options)
    else:
        app.channel("a", **options)(handler)
    (problem,) = problems_of(app)
    assert says in problem
    with pytest.raises(SpecError, match=re.escape(says)):
        async with app:
            raise AssertionError("it started")


@pytest.mark.parametrize("key", ["nothing", two])
async def test_a_key_is_checked_against_the_annotation(key):
    app = make_worker()

    @app.channel("raw", concurrency=2, key=key)
    async def on_raw(data: bytes): ...

    @app.channel("typed", concurrency=2, key=key)
    async def on_typed(order: Order): ...

    found = problems_of(app)
    assert len(found) == 2
    assert all("key" in problem for problem in found)


def test_what_is_wrong_with_options_is_listed_in_one_go():
    app = make_worker(mailbox=0, intensity=-1, subscription_timeout=-1)
    wrong: Any = {"timeout": "5", "decode": 5, "key": 5, "format": "xml", "concurrency": 0}
    app.channel("a", **wrong)(handler)
    app.channel(b"b")(handler)
    app.channel("b")(handler)
    app.channel("\ud800")(handler)
    app.actor(Actor, name="one", mailbox=0, shutdown=-1)
    app.actor(Actor, name="one")
    app.actor(Actor, name="probe")
    found = problems_of(app)
    for says in [
        "mailbox: capacity",
        "intensity must be",
        "subscription_timeout must be",
        "timeout must be a number",
        "nothing can be decoded to 5",
        "key must be",
        "format must be",
        "concurrency must be 1 to",
        "channel b'b' has 2 handlers, it can have one",
        "the name must be a str or bytes",
        "actor 'one': shutdown",
        "actor 'one': mailbox: capacity",
        "actor 'one': there are several of this name",
        "actor 'probe': the worker has one of this name itself",
    ]:
        assert any(says in problem for problem in found), (says, found)
    assert len(found) == 14


@pytest.mark.parametrize(
    ("where", "options", "says"),
    [
        ([], {}, "empty list of startup nodes"),
        (["localhost"], {}, "is no node"),
        ([("localhost", 1)], {"cluster": False}, "several nodes are a cluster"),
        ("redis://localhost?colour=red", {}, "unknown URL option, a name of 6 characters"),
        ("redis://localhost", {"colour": "red"}, "colour"),
    ],
)
def test_addresses_and_client_options_are_checked(where, options, says):
    app = make_worker(where, **options)
    app.channel("a")(handler)
    (problem,) = problems_of(app)
    assert says in problem


async def test_a_worker_with_problems_does_not_start():
    app = make_worker()
    with pytest.raises(SpecError):
        async with app:
            raise AssertionError("it started")


def test_a_password_is_not_shown():
    app = make_worker("redis://user:hunter2@localhost:1")
    assert str(app.broker) == "redis://localhost:1"


def test_a_cluster_stays_one_wherever_it_is():
    several = make_worker(["a:6379", ("b", 6379)])
    assert several.broker.is_cluster
    assert several.at("redis://c:6379").broker.is_cluster
    RunOptions("shop:app", url="redis://d:6379").apply(several)
    assert (several.broker.is_cluster, several.broker.where) == (True, "redis://d:6379")
    assert not several.at("redis://e:6379", cluster=False).broker.is_cluster
    one = make_worker("redis://a:6379")
    assert not one.at("redis://b:6379").broker.is_cluster
    assert one.at(["a:6379", "b:6379"]).broker.is_cluster
