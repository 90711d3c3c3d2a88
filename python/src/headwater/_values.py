"""Values between Python, JSON and data frames."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

_LARGEST_EXACT = 2**53


def to_json(value: object) -> Any:  # noqa: ANN401, PLR0911 - JSON has any form; a return for each
    """Return the JSON form of a value; what is missing in a data frame (None, NaN, NaT, NA) is null.

    Times without a zone are UTC. Integers beyond 2**53 and decimals become strings, which the platform reads exactly.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if -_LARGEST_EXACT <= value <= _LARGEST_EXACT else str(value)
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {str(key): to_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(each) for each in value]
    converter = _SCALARS.get(type(value).__name__) or next(
        (convert for kind, convert in _TYPES if isinstance(value, kind)), None
    )
    if converter is not None:
        return converter(value)
    for name in ("tolist", "to_list"):  # of numpy, pandas and polars
        listed = getattr(value, name, None)
        if listed is not None:
            return to_json(listed())
    raise TypeError(f"a value of type {type(value).__name__} has no form in JSON: {value!r:.100}")


def time_text(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC; one without a zone is UTC."""
    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    return zoned.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


_SCALARS: Mapping[str, Callable[[Any], Any]] = {
    "NAType": lambda _: None,  # pandas.NA
    "NaTType": lambda _: None,  # pandas.NaT
}
_TYPES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (datetime, time_text),
    (date, lambda day: day.isoformat()),
    (Decimal, str),
    (bytes, lambda data: base64.b64encode(data).decode()),
)


def reader_of(feature_type: str) -> Callable[[Any], Any]:
    """Return what makes a Python value of the JSON form of a type; lists and structs stay as JSON has them."""
    kind = feature_type.partition("(")[0]
    return _READERS.get(kind, lambda value: value)


def _time(text: str) -> datetime:
    # Python 3.10 reads neither "Z" nor other numbers of digits than 3 and 6.
    whole, _, rest = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{rest:0<6.6}+00:00" if rest else f"{whole}+00:00")


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "int64": int,
    "decimal": Decimal,
    "timestamp": _time,
    "bytes": base64.b64decode,
}
