"""A parser of PromQL: which metrics an expression selects, and which labels it uses.

It knows what our dashboard and alert rules need: selectors with matchers and ranges, functions,
aggregations, binary operators, numbers and parentheses. Anything else is a SyntaxError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

__all__ = ["Use", "metrics_of"]

_FUNCTIONS = {"rate", "increase", "histogram_quantile", "clamp_max", "clamp_min", "time", "absent"}
_AGGREGATIONS = {"sum", "min", "max", "avg", "count"}
# The loosest first.
_OPERATORS = [{"or"}, {"and", "unless"}, {"==", "!=", ">", "<", ">=", "<="}, {"+", "-"}, {"*", "/"}]
_TOKEN = re.compile(
    r"\s*(?:(?P<word>[a-zA-Z_:][\w:]*)|(?P<duration>\d+[smhd])\b|(?P<number>\d+(?:\.\d+)?)"
    r'|(?P<string>"[^"]*")|(?P<sign>=~|!~|==|!=|>=|<=|[-+*/<>=(){}\[\],]))'
)


class Use(msgspec.Struct, frozen=True):
    """A metric that an expression selects, and the labels by which it selects and groups it."""

    metric: str
    labels: frozenset[str]


def metrics_of(expression: str) -> list[Use]:
    """Return what ``expression`` uses.

    Raises:
        SyntaxError: it is no PromQL, or more than this parser knows.
    """
    parser = _Parser(list(_tokens(expression)))
    found = parser.binary(0)
    parser.expect("")
    return found


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at, text = 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise SyntaxError(f"no PromQL at {text[at:]!r}")
        assert match.lastgroup is not None
        yield match.lastgroup, match[match.lastgroup]
        at = match.end()
    yield "end", ""


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens

    def take(self, kind: str) -> str:
        if self._tokens[0][0] != kind:
            raise SyntaxError(f"a {kind} instead of {self._tokens[0][1]!r}")
        return self._tokens.pop(0)[1]

    def expect(self, text: str) -> None:
        if not self.skip(text):
            raise SyntaxError(f"{text!r} instead of {self._tokens[0][1]!r}")

    def skip(self, text: str) -> bool:
        if self._tokens[0][1] != text or self._tokens[0][0] == "string":
            return False
        self._tokens.pop(0)
        return True

    def binary(self, level: int) -> list[Use]:
        if level == len(_OPERATORS):
            return self.atom()
        found = self.binary(level + 1)
        while self._tokens[0][1] in _OPERATORS[level]:
            self._tokens.pop(0)
            found = [*found, *self.binary(level + 1)]
        return found

    def atom(self) -> list[Use]:
        kind, text = self._tokens[0]
        if kind in ("number", "string"):
            self._tokens.pop(0)
            return []
        if self.skip("("):
            found = self.binary(0)
            self.expect(")")
            return found
        name = self.take("word")
        if name in _AGGREGATIONS:
            return self.aggregation()
        if self._tokens[0][1] == "(":
            if name not in _FUNCTIONS:
                raise SyntaxError(f"the function {text!r} is not known")
            return self.arguments()
        return [Use(name, self.selector())]

    def aggregation(self) -> list[Use]:
        labels = self.names() if self.skip("by") else frozenset()
        found = self.arguments()
        if self.skip("by"):
            labels = self.names()
        return [Use(one.metric, one.labels | labels) for one in found]

    def arguments(self) -> list[Use]:
        self.expect("(")
        found = self.binary(0)
        while self.skip(","):
            found = [*found, *self.binary(0)]
        self.expect(")")
        return found

    def names(self) -> frozenset[str]:
        self.expect("(")
        names = [self.take("word")]
        while self.skip(","):
            names.append(self.take("word"))
        self.expect(")")
        return frozenset(names)

    def selector(self) -> frozenset[str]:
        labels = set()
        if self.skip("{"):
            while not self.skip("}"):
                labels.add(self.take("word"))
                if self.take("sign") not in ("=", "!=", "=~", "!~"):
                    raise SyntaxError("a matcher is one of = != =~ !~")
                self.take("string")
                if self._tokens[0][1] != "}":
                    self.expect(",")
        if self.skip("["):
            self.take("duration")
            self.expect("]")
        return frozenset(labels)
