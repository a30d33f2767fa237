"""Specs are checked whole at construction (S9)."""

from __future__ import annotations

import math

import pytest

from supervisor import (
    ChildSpec,
    ConstantRetryPolicy,
    Restart,
    SpecError,
    StartError,
    Supervisor,
    SupervisorSpec,
)


async def life(child):
    child.started()


def test_s9_defaults():
    spec = ChildSpec("a", life)
    assert spec.restart is Restart.PERMANENT
    assert (spec.shutdown, spec.healthy_after, spec.start_timeout) == (5.0, 5.0, None)
    assert not spec.significant
    whole = SupervisorSpec()
    assert (whole.strategy, whole.intensity, whole.period) == ("one_for_one", 5, 30.0)


def test_s9_specs_are_frozen():
    spec = ChildSpec("a", life)
    with pytest.raises(AttributeError):
        spec.id = "b"
    with pytest.raises(AttributeError):
        SupervisorSpec().intensity = 9
    children = [spec]
    whole = SupervisorSpec(children=children)
    children.append(ChildSpec("b", life))
    assert whole.children == (spec,)


def test_s9_equal_specs_are_equal():
    assert ChildSpec("a", life, "transient") == ChildSpec("a", life, Restart.TRANSIENT)
    assert ChildSpec("a", life) != ChildSpec("b", life)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"id": ""}, "id must not be empty"),
        ({"id": "a/b"}, "no '/'"),
        ({"start": 3}, "start must be a coroutine function"),
        ({"restart": "sometimes"}, "restart must be one of permanent, transient, temporary"),
        ({"retry_policy": 3}, "retry_policy must be a RetryPolicy, or None, not 3"),
        (
            {"retry_policy": ConstantRetryPolicy},
            "retry_policy must be a RetryPolicy, or None",
        ),
        ({"shutdown": -1}, "shutdown must be 0 or more"),
        ({"shutdown": math.nan}, "shutdown must be 0 or more"),
        ({"healthy_after": -1}, "healthy_after must be 0 or more"),
        ({"start_timeout": 0}, "start_timeout must be more than 0"),
        ({"significant": True}, "significant child must be transient or temporary"),
        ({"id": 3}, "the id must be a str, not 3"),
        ({"shutdown": "5"}, "shutdown must be a number of seconds, or None, not '5'"),
        ({"healthy_after": True}, "healthy_after must be a number of seconds, or None, not True"),
        ({"start_timeout": "x"}, "start_timeout must be a number of seconds, or None, not 'x'"),
    ],
)
def test_s9_child_spec_problems(options, problem):
    with pytest.raises(SpecError, match=problem) as caught:
        ChildSpec(**({"id": "a", "start": life} | options))
    assert len(caught.value.problems) == 1
    assert isinstance(caught.value, ValueError)


def test_s9_all_problems_of_a_child_are_listed_at_once():
    with pytest.raises(SpecError) as caught:
        ChildSpec("", 3, "x", shutdown=-1, start_timeout=-1)  # type: ignore[arg-type]
    assert len(caught.value.problems) == 5


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"strategy": "all"}, "strategy must be one of one_for_one, rest_for_one, one_for_all"),
        ({"auto_shutdown": "x"}, "auto_shutdown must be one of never, any_significant"),
        ({"intensity": -1}, "intensity must be 0 or more"),
        ({"intensity": "3"}, "intensity must be a whole number, or None, not '3'"),
        ({"period": 0}, "period must be more than 0"),
        ({"period": "x", "strategy": "one_for_all"}, "period must be a number of seconds"),
        ({"max_children": "2"}, "max_children must be a whole number, or None, not '2'"),
        ({"kill_grace": 0}, "kill_grace must be more than 0"),
        ({"dynamic": True, "strategy": "one_for_all"}, "only one_for_one"),
        ({"max_children": 1, "children": "ab"}, "2 children, but max_children=1"),
        ({"children": "abab"}, "duplicate id 'a'; duplicate id 'b'"),
    ],
)
def test_s9_supervisor_spec_problems(options, problem):
    if "children" in options:
        options = options | {"children": [ChildSpec(each, life) for each in options["children"]]}
    with pytest.raises(SpecError, match=problem):
        SupervisorSpec(**options)


@pytest.mark.parametrize(
    ("children", "problem"),
    [
        ([life], "a child must be a ChildSpec, not <function life"),
        (3, "children must be a list of ChildSpecs, not 3"),
        (ChildSpec("a", life), "children must be a list of ChildSpecs, not ChildSpec"),
    ],
)
def test_s9_children_of_a_wrong_type(children, problem):
    with pytest.raises(SpecError, match=problem):
        SupervisorSpec(children=children)


async def test_s9_a_supervisor_takes_a_spec_and_no_list():
    with pytest.raises(TypeError, match="spec must be a SupervisorSpec, or None"):
        Supervisor([ChildSpec("a", life)])  # type: ignore[arg-type]


async def test_s9_a_start_function_that_is_no_coroutine_function_is_told_how_to_be_one():
    def start(child):
        """Not `async def`."""

    supervisor = Supervisor(SupervisorSpec(children=[ChildSpec("a", start)]))
    with pytest.raises(StartError, match="define it with `async def`"):
        await supervisor.start()


def test_s9_significant_children_need_auto_shutdown():
    children = [ChildSpec("a", life, "transient", significant=True)]
    with pytest.raises(SpecError, match="'a' is significant, but auto_shutdown is never"):
        SupervisorSpec(children=children)
    SupervisorSpec(children=children, auto_shutdown="any_significant")


@pytest.mark.parametrize("strategy", ["rest_for_one", "one_for_all"])
def test_s9_a_shutdown_so_long_that_the_intensity_is_never_reached(strategy):
    """erlang/otp#4648: restarts further apart than period / intensity never add up."""
    slow = [ChildSpec("a", life, shutdown=6.0), ChildSpec("b", life)]
    with pytest.raises(SpecError, match=r"'a' may take 6\.0 s to stop.*shorten shutdown"):
        SupervisorSpec(strategy=strategy, children=slow)
    SupervisorSpec(strategy=strategy, children=slow, period=31.0)
    SupervisorSpec(strategy=strategy, children=slow, intensity=4)
    SupervisorSpec(strategy=strategy, children=slow, intensity=None)
    SupervisorSpec(strategy="one_for_one", children=slow)


def test_s9_all_problems_of_a_supervisor_are_listed_at_once():
    with pytest.raises(SpecError) as caught:
        SupervisorSpec(
            strategy="x",
            intensity=-1,
            period=-1,
            children=[
                ChildSpec("a", life),
                ChildSpec("a", life, "transient", significant=True),
            ],
        )
    assert len(caught.value.problems) == 5


def test_s9_many_children_are_checked_fast():
    children = [ChildSpec(str(i), life) for i in range(20_000)]
    assert len(SupervisorSpec(children=children).children) == 20_000


def test_s9_a_spec_with_a_retry_policy_prints():
    spec = ChildSpec("a", life, retry_policy=ConstantRetryPolicy((OSError,), 3))
    assert "ConstantRetryPolicy((OSError), retries=3)" in repr(spec)
