"""Addresses say the name of a channel, or what varies in it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.worker.asyncapi.addresses import (
    Address,
    address_of,
    address_of_any,
    address_of_pattern,
    identifier,
)


def said(address: Address) -> str:
    """The address with each parameter that has one value replaced by that."""
    return re.sub(
        r"\{([^{}]*)\}", lambda found: address.parameters[found[1]]["default"], address.text
    )


@pytest.mark.parametrize(
    ("pattern", "text", "described"),
    [
        ("orders.*", "orders.{part1}", ["Any text, also none."]),
        ("a?c.*", "a{part1}c.{part2}", ["Any one character.", "Any text, also none."]),
        ("h[ae]llo", "h{part1}llo", ["One character of [ae]."]),
        ("h[^e]llo", "h{part1}llo", ["One character of [^e]."]),
        (r"ha\*", "ha*", []),
        ("{user}.*", "{part1}.{part2}", ["Always this text.", "Any text, also none."]),
        (b"bytes.*", "bytes.{part1}", ["Any text, also none."]),
        ("open[", "open[", []),
        ("*", "{part1}", ["Any text, also none."]),
        ("plain", "plain", []),
    ],
)
def test_what_varies_in_a_pattern_is_a_parameter(pattern, text, described):
    address = address_of_pattern(pattern)
    assert address.text == text
    assert [one["description"] for one in address.parameters.values()] == described


@pytest.mark.parametrize("name", ["orders", "{user1}:orders", "}{", "{}", "a{b}c{d}", b"\xff{x}"])
def test_an_address_says_the_name_of_its_channel(name):
    expected = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    assert said(address_of(name)) == expected


@given(st.text(alphabet="ab{}*?[]\\.", max_size=12))
def test_any_text_has_an_address_whose_parameters_are_described(text):
    for address in (address_of(text), address_of_pattern(text)):
        used = re.findall(r"\{([^{}]*)\}", address.text)
        assert used == list(address.parameters)
    assert said(address_of(text)) == text


def test_a_group_is_one_address_with_its_names():
    several = address_of_any(["a", b"b"])
    assert several.text == "{name}"
    assert several.parameters["name"]["enum"] == ["a", "b"]
    assert address_of_any(["a"]) == Address("a")
    found = address_of_any([], "shop.find").parameters["name"]
    assert "shop.find" in found["description"]
    assert "enum" not in found


def test_identifiers_differ():
    taken: list[str] = []
    for text in ("orders.*", "orders", "orders", "{*}", "", "orders_2"):
        taken.append(identifier(text, taken))
    assert taken == ["orders", "orders_2", "orders_3", "channel", "channel_2", "orders_2_2"]
