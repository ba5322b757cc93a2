"""The catalogue of events as an AsyncAPI 3.0 document: a channel per topic, who sends to it and who receives."""

import inspect
from collections.abc import Iterable
from typing import Any

import msgspec
import yaml

from loyalnest import __version__
from loyalnest.kit.events import Payload
from loyalnest.kit.service import Service

DESCRIPTION = (
    "Events between LoyalNest's services. Each travels in an envelope (id, topic, merchant_id, key, occurred_at, "
    "traceparent); events with one merchant and key keep their order, any may come more than once, and handlers are "
    "idempotent by id. In the embedded packing a channel is a topic of PostgreSQL's `bus.events`, else a Kafka topic "
    "behind the program's prefix."
)
_HEADER = "# Written by `make reference` from the services' declarations. Change those.\n"


def text(services: Iterable[Service]) -> str:
    """The document as YAML."""
    return _HEADER + yaml.safe_dump(document(list(services)), sort_keys=False, width=120, allow_unicode=True)


def document(services: list[Service]) -> dict[str, Any]:
    """The document. Topics that are consumed and that nobody here produces have no payload."""
    payloads = {payload.topic: payload for each in services for payload in each.produces}
    topics = sorted({*payloads, *(topic for each in services for topic in each.consumes)})
    ordered = [payloads[topic] for topic in topics if topic in payloads]
    _, schemas = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    operations: dict[str, Any] = {}
    for each in sorted(services, key=lambda service: service.name):
        for action, names in (("send", {one.topic for one in each.produces}), ("receive", set(each.consumes))):
            for topic in sorted(names):
                operations[f"{each.name}.{action}.{topic}"] = {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{topic}"},
                    "tags": [{"name": each.name}],
                }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "LoyalNest events", "version": __version__, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic, payloads.get(topic)) for topic in topics},
        "operations": operations,
        "components": {"messages": {each.__name__: _message(each) for each in ordered}, "schemas": schemas},
    }


def _channel(topic: str, payload: type[Payload] | None) -> dict[str, Any]:
    if payload is None:
        return {"address": topic}
    name = payload.__name__
    return {"address": topic, "messages": {name: {"$ref": f"#/components/messages/{name}"}}}


def _message(payload: type[Payload]) -> dict[str, Any]:
    words = inspect.cleandoc(payload.__doc__ or "")
    return {
        "name": payload.__name__,
        "title": payload.topic,
        "summary": words.splitlines()[0] if words else "",
        "payload": {"$ref": f"#/components/schemas/{payload.__name__}"},
    }
