"""Lets Schemathesis send what it has no serializer for, and gives calls the time that they need."""

import schemathesis

# Lines of JSON are text.
schemathesis.serializer.alias("application/x-ndjson", "text/plain")

TIMEOUT = "x-request-timeout-ms"
ENOUGH_MS = 60_000


@schemathesis.hook
def before_call(context, case, kwargs):
    """A caller that waits for less than an answer takes is answered 504, as the document says: no fault of the server."""
    for name, value in (case.headers or {}).items():
        if name.lower() != TIMEOUT:
            continue
        try:
            is_short = 0 < float(value) < ENOUGH_MS
        except ValueError:
            continue
        if is_short:
            case.headers[name] = str(ENOUGH_MS)
