"""Texts from outside move no cursor and begin no line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor import TreeNode
from supervisor.log import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain, ünïcode and 漢字 🙂", "plain, ünïcode and 漢字 🙂"),
        (r"C:\x1b", r"C:\x1b"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("\r\nfake line\t", r"\r\nfake line\t"),
        ("\x7f\x9b31m", r"\x7f\x9b31m"),
        ("\u202eevil\u2028", r"\u202eevil\u2028"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_does_not_print_is_escaped_as_repr_does(text, shown):
    assert printable(text) == shown


@given(st.text())
def test_the_result_prints_and_stays(text):
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown


def test_lines_stay_lines():
    assert printable_lines("a\n\x1bb\r\n", "  ") == "  a\n  \\x1bb\\r\n  "


def test_a_tree_is_a_line_for_each_node():
    child = TreeNode("a\x1b[2J\nb", "w/a", "actor", "running", restarts=1, last_exit="no\r\x9b")
    text = str(TreeNode("w", "w", "", "running", detail={"k": "\x07"}, children=(child,)))
    assert len(text.splitlines()) == 2
    assert all(line.isprintable() for line in text.splitlines())
    assert r"a\x1b[2J\nb" in text
