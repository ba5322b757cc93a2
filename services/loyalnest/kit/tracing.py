"""Traces: W3C context always travels; spans are recorded and exported where an OTLP endpoint is set."""

import os
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from loyalnest import __version__


def configure(services: str) -> Callable[[], None]:
    """Export spans if OTEL_EXPORTER_OTLP_ENDPOINT (or its traces variant) is set. Returns how to flush and stop."""
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not any(os.environ.get(name) for name in endpoints):
        return lambda: None
    resource = Resource.create(
        {"service.name": "loyalnest", "service.version": __version__, "loyalnest.services": services}
    )
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown
