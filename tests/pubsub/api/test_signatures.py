"""The three Pub/Sub classes and what makes them: parameters, their order and their defaults.

The tables are the reference API; what is ours comes after, by keyword only.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from actors import ClusterPubSub, PubSub, Redis, RedisCluster, ShardedPubSub, exceptions
from actors.pubsub.api import options
from supervisor import CompositeRetryPolicy, ConstantRetryPolicy, ExponentialBackoffRetryPolicy


def plain(default: Any) -> Any:
    """A policy as what it is made of: policies do not compare."""
    if not isinstance(default, CompositeRetryPolicy):
        return default
    return [
        (type(part), {name: value for name, value in vars(part).items() if name != "_rng"})
        for part in default._policies
    ]


REQUIRED = inspect.Parameter.empty
POLICY = plain(
    CompositeRetryPolicy(
        ExponentialBackoffRetryPolicy(
            (exceptions.ConnectionError,), retries=None, base_delay=0.1, max_delay=16, jitter=True
        ),
        ConstantRetryPolicy((TimeoutError,), retries=2, delay=0.1),
    )
)

HEAD = {"connection_pool": REQUIRED, "ignore_subscribe_messages": False}
CHANNELS = {"channels": None, "channel_handlers": None}
PATTERNS = {"patterns": None, "pattern_handlers": None}
TIMES = {"subscription_timeout": 1, "unsubscription_timeout": 0.1, "max_idle_seconds": 15}
OF_PLAIN = HEAD | {"retry_policy": POLICY} | CHANNELS | PATTERNS | TIMES
CONSTRUCTORS: dict[type[Any], dict[str, Any]] = {
    PubSub: OF_PLAIN,
    ClusterPubSub: OF_PLAIN,
    ShardedPubSub: HEAD | {"retry_policy": None, "read_from_replicas": False} | CHANNELS | TIMES,
}
OF_CLUSTER = {"read_from_replicas": None, "every_primary": False}
FACTORIES: dict[Any, tuple[type[Any], dict[str, Any]]] = {
    Redis.pubsub: (PubSub, {}),
    RedisCluster.pubsub: (ClusterPubSub, OF_CLUSTER),
    RedisCluster.sharded_pubsub: (
        ShardedPubSub,
        {"read_from_replicas": None, "retry_policy": POLICY},
    ),
}
OURS = {
    "on_gap": None,
    "recover": None,
    "on_lagged": None,
    "on_failure": None,
    "mailbox": None,
    "overflow": None,
    "start_timeout": 5.0,
    "system": None,
}
# Method -> names and defaults; a star is one of any number.
SUBSCRIBE = {
    "subscribe": {"*channels": REQUIRED, "**channel_handlers": REQUIRED},
    "unsubscribe": {"*channels": REQUIRED},
}
PATTERN_METHODS = {
    "psubscribe": {"*patterns": REQUIRED, "**pattern_handlers": REQUIRED},
    "punsubscribe": {"*patterns": REQUIRED},
}
READ = {"get_message": {"ignore_subscribe_messages": False, "timeout": None}}
STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def defaults(parameters: list[inspect.Parameter]) -> list[tuple[str, Any]]:
    return [
        (STARS.get(one.kind, "") + one.name, plain(one.default))
        for one in parameters
        if one.name != "self"
    ]


def parameters_of(function: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


@pytest.mark.parametrize("pubsub", CONSTRUCTORS, ids=lambda pubsub: pubsub.__name__)
def test_contract_constructors(pubsub):
    parameters = parameters_of(pubsub)
    positional = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert defaults(positional) == list(CONSTRUCTORS[pubsub].items())
    keywords = defaults([one for one in parameters if one.kind is one.KEYWORD_ONLY])
    own = OF_CLUSTER if pubsub is ClusterPubSub else {}
    assert dict(keywords) == OURS | own
    assert len(parameters) == len(positional) + len(keywords)


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: factory.__qualname__)
def test_contract_factories_take_what_the_constructor_takes_by_keyword(factory):
    made, different = FACTORIES[factory]
    _, *parameters = parameters_of(factory)
    assert {one.kind for one in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    expected = {**CONSTRUCTORS[made], **OURS, **different}
    del expected["connection_pool"]
    assert dict(defaults(parameters)) == expected
    keywords: Any = options.PatternKeywords
    if made is ShardedPubSub:
        keywords = options.ChannelKeywords
    assert {*keywords.__annotations__, *OF_CLUSTER} == {*expected, *OF_CLUSTER}
    for name, parameter in inspect.signature(made).parameters.items():
        if name not in ("connection_pool", *OF_CLUSTER):
            assert keywords.__annotations__[name].__forward_arg__ == parameter.annotation


@pytest.mark.parametrize("pubsub", CONSTRUCTORS, ids=lambda pubsub: pubsub.__name__)
def test_contract_methods(pubsub):
    methods = SUBSCRIBE | READ
    if pubsub is not ShardedPubSub:  # there, those of patterns raise
        methods |= PATTERN_METHODS
    for name, expected in methods.items():
        method = getattr(pubsub, name)
        assert inspect.iscoroutinefunction(method)
        assert defaults(parameters_of(method)) == list(expected.items())
    for name in ("__aenter__", "__aexit__", "__aiter__", "__anext__", "psubscribe", "punsubscribe"):
        assert callable(getattr(pubsub, name))
    assert isinstance(pubsub.subscribed, property)
