"""Finds the variables that a chat template reads, without rendering it."""

from __future__ import annotations

import re

from jinja2 import TemplateError, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

_WORD = re.compile(r"[A-Za-z_]\w*")


class _Generation(Extension):
    """Reads the block that some templates put around an answer."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def variables_of(template: str) -> frozenset[str]:
    """The names that a template takes from outside; all its words if it is not valid Jinja, which rendering reports."""
    environment = ImmutableSandboxedEnvironment(extensions=[loopcontrols, _Generation])
    try:
        return frozenset(meta.find_undeclared_variables(environment.parse(template)))
    except (TemplateError, RecursionError):
        return frozenset(_WORD.findall(template))
