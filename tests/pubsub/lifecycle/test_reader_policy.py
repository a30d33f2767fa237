"""How readers are restarted (pure): the user's policy, refusals that pass, and the servers' no."""

from __future__ import annotations

import pytest

from actors.pubsub.api.options import DEFAULT_RETRY_POLICY
from actors.pubsub.lifecycle.reader import ProviderFailedError
from actors.pubsub.lifecycle.reader_policy import ReaderPolicy
from actors.pubsub.lifecycle.refusing_nodes import RefusingNodes
from actors.redis import exceptions
from actors.redis.exceptions import from_reply
from supervisor import ConstantRetryPolicy, NoRetryPolicy, RetryPolicy
from supervisor.model.retry_session import Decision, Refused, Retry, RetrySession, Spent

WRONG = from_reply("WRONGPASS invalid username-password pair")
NOPERM = from_reply("NOPERM no")
LOST = exceptions.ConnectionError("connection refused")


def never() -> Retry | Spent:
    raise AssertionError("no server said no")


def session(policy: RetryPolicy = DEFAULT_RETRY_POLICY, after_no=never) -> RetrySession:
    return ReaderPolicy(policy, after_no).session(0.0)


def delays(one: RetrySession, error: Exception, count: int) -> list[float]:
    found = []
    for i in range(count):
        decision = one.failed(error, float(i))
        assert isinstance(decision, Retry), decision
        found.append(decision.delay)
    return found


@pytest.mark.parametrize("cause", [OSError("away"), TimeoutError(), RuntimeError("503")])
def test_p14_a_provider_that_fails_is_asked_again_for_ever(cause: Exception):
    error = ProviderFailedError("the credential provider failed")
    error.__cause__ = cause
    found = delays(session(), error, 40)
    assert found[0] == pytest.approx(0.1)
    assert max(found) > 1
    assert max(found) <= 16


@pytest.mark.parametrize("text", ["BUSY a script", "LOADING", "MASTERDOWN", "ERR upstream failure"])
def test_a_refusal_that_passes_is_asked_again_within_a_second(text: str):
    found = delays(session(), from_reply(text), 40)
    assert found[0] == pytest.approx(0.1)
    assert max(found) <= 1


def test_lost_connections_are_the_users_policys():
    assert session(ConstantRetryPolicy((exceptions.ConnectionError,), 1, delay=3)).failed(
        LOST, 0.0
    ) == Retry(3, 1)
    limited = session(ConstantRetryPolicy((exceptions.ConnectionError,), 2, delay=0))
    assert delays(limited, LOST, 2) == [0, 0]
    assert isinstance(limited.failed(LOST, 2.0), Spent)


@pytest.mark.parametrize("error", [WRONG, from_reply("BUSY"), LOST, TimeoutError(), OSError()])
def test_a_policy_that_retries_nothing_makes_each_error_of_a_connection_final(error: Exception):
    assert session(NoRetryPolicy()).failed(error, 0.0) == Spent(0)


def test_a_bug_is_a_crash_like_any_other():
    assert session().failed(KeyError("a bug"), 0.0) == Refused()


def test_a_policy_that_names_a_no_decides_itself():
    policy = ConstantRetryPolicy((exceptions.AuthenticationError,), 7, delay=2)
    assert session(policy).failed(WRONG, 0.0) == Retry(2, 1)


# -- the servers' no -------------------------------------------------------------------------------


def says_no(nodes: RefusingNodes, node: str, error: Exception, *others: str) -> Decision:
    nodes.note(node, error)
    return nodes.after(node, {node, *others})


def test_p3_the_no_of_the_one_server_is_final():
    assert isinstance(says_no(RefusingNodes(fresh=False), "a", WRONG), Spent)
    assert isinstance(says_no(RefusingNodes(fresh=True), "a", NOPERM), Spent)


def test_p14_fresh_credentials_are_tried_a_few_times_before_a_no_is_final():
    nodes = RefusingNodes(fresh=True)
    found = [says_no(nodes, "a", WRONG) for _ in range(5)]
    assert found[:4] == [Retry(0.25, 1), Retry(0.5, 2), Retry(1, 3), Retry(2, 4)]
    assert isinstance(found[4], Spent)


def test_p14_the_count_begins_anew_once_the_server_has_accepted():
    nodes = RefusingNodes(fresh=True)
    for _ in range(4):
        says_no(nodes, "a", WRONG)
    nodes.forget("a")
    assert nodes.nodes == {}
    assert says_no(nodes, "a", WRONG) == Retry(0.25, 1)


def test_p3_one_node_that_says_no_is_asked_again_less_and_less_often(caplog):
    nodes = RefusingNodes(fresh=False)
    found = [says_no(nodes, "a", WRONG, "b", "c") for _ in range(40)]
    waits = [decision.delay for decision in found if isinstance(decision, Retry)]
    assert len(waits) == 40
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.25, 30)
    assert sum("node_refuses" in line for line in caplog.messages) == 1
    assert nodes.nodes["a"].times == 40
    assert "invalid username-password pair" in nodes.nodes["a"].error


def test_p3_giving_up_needs_every_node_that_could_serve():
    nodes = RefusingNodes(fresh=False)
    assert isinstance(says_no(nodes, "a", WRONG, "b", "c"), Retry)
    assert isinstance(says_no(nodes, "b", NOPERM, "a", "c"), Retry)
    nodes.forget("a")
    assert isinstance(says_no(nodes, "c", WRONG, "a", "b"), Retry)
    assert isinstance(says_no(nodes, "a", WRONG, "b", "c"), Spent)
