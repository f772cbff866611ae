"""Writes plain data as JSON, whatever text it holds: half a surrogate pair, or control characters."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from probes.schema.foreign_text import mark

_NOT_PLAIN = re.compile("[^ -~]")


def json_of(value: Any) -> bytes:
    """Plain data as JSON. Half a surrogate pair can't be written in UTF-8, so it becomes a replacement character."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_sound(value))


def json_to_print(value: Any) -> bytes:
    """Plain data as JSON, with every control or invisible character written as its number: `\\u009b`."""
    text = json_of(value).decode()
    return _NOT_PLAIN.sub(lambda at: at[0] if mark(at[0]) == at[0] else json.dumps(at[0])[1:-1], text).encode()


def _sound(node: Any) -> Any:
    """The same data with a replacement character for each half of a surrogate pair."""
    if isinstance(node, str):
        return node.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(node, dict):
        return {_sound(key): _sound(value) for key, value in node.items()}
    return [_sound(item) for item in node] if isinstance(node, (list, tuple)) else node
