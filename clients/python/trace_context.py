"""The caller's trace, where it has one: the server's spans become children of its current span.

OpenTelemetry is not needed, and not loaded for a program that does not use it.
"""

from __future__ import annotations

import sys


def trace_headers() -> dict[str, str]:
    """Headers that name the span that is current now, such as `traceparent`; none without one.

    What they are is up to OpenTelemetry's propagators (OTEL_PROPAGATORS).
    """
    if "opentelemetry.trace" not in sys.modules:
        # whoever has a span has loaded this
        return {}
    # not at the top: most programs have no spans, and many not even the package
    from opentelemetry import propagate

    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers
