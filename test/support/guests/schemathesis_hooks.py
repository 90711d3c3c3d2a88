"""Lets Schemathesis send what it has no serializer for: lines of JSON are text."""

import schemathesis

schemathesis.serializer.alias("application/x-ndjson", "text/plain")
