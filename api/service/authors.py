"""Who took a recorded step, read back from its record.

In: the body of a step as `Service.stamp` writes it. Out: an `Author`, and its plain form. Guaranteed: a step of a
service of an older version, or of the service itself, has an author too (person empty), who is nobody's second person.
Refused: nothing. Before: `principal.py`. After: `rule_books.py`, `limit_book.py`, `override_book.py`, the routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lexorder.api.service.principal import Author


def author_of(body: Mapping[str, Any]) -> Author:
    """Who took the step."""
    return Author(str(body["by"]), str(body.get("person", "")))


def told(author: Author | None) -> dict[str, str] | None:
    """An author as plain data; None for nobody."""
    return None if author is None else {"by": author.id, "person": author.person}
