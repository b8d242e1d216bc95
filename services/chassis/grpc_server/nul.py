"""Text with NUL, which PostgreSQL cannot store (F-32).

Why: a text with NUL is refused before a handler sees it; fields of bytes may hold NUL.
"""

import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

MUST_NOT = "must not contain NUL"


def nul_paths(message: Message) -> list[str]:
    """Paths of the texts that hold NUL, such as `lines[2].sku` and `metadata["colour"]`."""
    return list(_walk(message, ""))


def _walk(message: Message, prefix: str) -> Iterator[str]:
    for field, value in message.ListFields():
        for path, item in _items(field, value, f"{prefix}{field.name}"):
            if isinstance(item, Message):
                yield from _walk(item, f"{path}.")
            elif isinstance(item, str) and "\0" in item:
                yield path


def _items(field: FieldDescriptor, value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The single values of a field with their paths; of a map the keys, too."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for key, item in value.items():
            of_key = f"{path}[{json.dumps(key)}]"
            yield of_key, item if not isinstance(key, str) or "\0" not in key else key
    elif field.is_repeated:
        yield from ((f"{path}[{index}]", item) for index, item in enumerate(value))
    else:
        yield path, value
