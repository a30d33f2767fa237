"""Texts for terminals and for logs that are text.

Names of channels, payloads and the texts of exceptions come from outside. Raw, their control
characters would clear a screen, rename a window or look like further lines of a log.
"""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return ``text`` with everything that does not print written as ``repr`` does, ``\x1b``.

    That includes line breaks. A backslash stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def printable_lines(text: str, indent: str = "") -> str:
    """Return the lines of ``text``, each of them printable and indented."""
    return "\n".join(f"{indent}{printable(line)}" for line in text.split("\n"))
