"""AsyncAPI 3 of the providers' feeds, made from the models that are sent, always the same.

`python -m services.notification.asyncapi` prints it for an origin that is only an example.
"""

from __future__ import annotations

import json
import sys
from inspect import cleandoc
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from services.notification.domain import REFERRAL_TYPES
from services.notification.facts import schema_of
from shared.feed import StreamEntry, TopicEvent, WebhookMessage
from shared.kafka import PROVIDER_TOPICS

EXAMPLE_ORIGIN: Final = "https://centre.example"

_ENTRY: Final = {
    "referral_id": "0b4f6f0e-5a53-4f5e-9d0e-3f6d4a0f7f11",
    "state": "assigned",
    "cursor": 7,
    "version": 3,
    "href": f"{EXAMPLE_ORIGIN}/referral/v1/referrals/0b4f6f0e-5a53-4f5e-9d0e-3f6d4a0f7f11",
}
_EVENT: Final = "01a224e8-c2df-75bf-98f8-9c39b5e7649e"
_TIME: Final = "2026-11-29T06:10:00Z"
_TYPE: Final = "referral-assigned"

_HEADERS: Final = {
    "webhook": {
        "type": "object",
        "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
        "properties": {
            "webhook-id": {
                "type": "string",
                "format": "uuid",
                "description": "The same at every attempt: drop what you have handled",
            },
            "webhook-timestamp": {
                "type": "string",
                "description": "The Unix second of this attempt: refuse what is 5 minutes off",
            },
            "webhook-signature": {
                "type": "string",
                "description": "`v1,` HMAC-SHA256 by the secret, and `v1a,` Ed25519 by our key",
            },
        },
    },
    "topic": {
        "type": "object",
        "required": ["content-type", "type", "sequence"],
        "properties": {
            "content-type": {"type": "string"},
            "type": {"type": "string"},
            "sequence": {"type": "string"},
            "signature": {"type": "string", "description": "Ed25519 over the exact bytes"},
        },
    },
}


def make_document(origin: str) -> dict[str, Any]:
    """Return the document; `origin` is where the interfaces are, `https://host[:port]`."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Pashe: feeds of providers' systems",
            "version": "1",
            "description": (
                "What happens to a provider's own referrals, by webhook, in its own topic of Kafka,"
                " and as server-sent events. Each is told at least once, with the same id by each"
                " way. Types and fields are added; take no notice of those you do not know."
                " Polling, and answers to a referral, are in the OpenAPI of `referral`."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(origin),
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": _messages(),
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "scram": {
                    "type": "scramSha512",
                    "description": "`pashe kafka grant provider KEY` makes the user",
                },
            },
        },
    }


def _servers(origin: str) -> dict[str, Any]:
    place = urlsplit(origin)
    return {
        "origin": {
            "host": place.netloc,
            "protocol": place.scheme,
            "description": "The origin of the centre",
            "security": [{"$ref": "#/components/securitySchemes/token"}],
        },
        "kafka": {
            "host": "{bootstrap}",
            "protocol": "kafka-secure",
            "description": "Kafka, as operations tell it with the user",
            "variables": {"bootstrap": {"default": f"{place.hostname}:9093"}},
            "security": [{"$ref": "#/components/securitySchemes/scram"}],
        },
        "receiver": {
            "host": "{receiver}",
            "protocol": "https",
            "description": "The provider's own server, whose URL it subscribed",
            "variables": {"receiver": {"default": "system.provider.example"}},
        },
    }


def _channels() -> dict[str, Any]:
    return {
        "webhook": {
            "address": None,
            "title": "Webhook",
            "description": "Posted to each URL of `POST /notification/v1/subscriptions`, in the"
            " feed's order, one at a time. 2xx is taken, 410 ends the subscription, all else is"
            " tried again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 24 h.",
            "servers": [{"$ref": "#/servers/receiver"}],
            "messages": {"webhook": {"$ref": "#/components/messages/webhook"}},
        },
        "topic": {
            "address": f"{PROVIDER_TOPICS}{{provider}}",
            "title": "Topic",
            "description": "One partition; only its provider may read it. Subscribe with"
            ' `{"notifier": "kafka"}`. All of one case is in its order.',
            "servers": [{"$ref": "#/servers/kafka"}],
            "parameters": {"provider": {"description": "The provider's key in the directory"}},
            "messages": {"event": {"$ref": "#/components/messages/topic"}},
            "bindings": {"kafka": {"partitions": 1, "bindingVersion": "0.5.0"}},
        },
        "stream": {
            "address": "/referral/v1/referrals/stream",
            "title": "Server-sent events",
            "description": "In the feed's order; goes on after the `Last-Event-ID` that is sent.",
            "servers": [{"$ref": "#/servers/origin"}],
            "messages": {"entry": {"$ref": "#/components/messages/stream"}},
        },
    }


def _operations() -> dict[str, Any]:
    said = {
        "webhook": ("webhook", "Tells a subscribed URL", {"http": {"method": "POST"}}),
        "topic": ("event", "Writes a provider's topic", None),
        "stream": ("entry", "Streams a provider's feed", {"http": {"method": "GET"}}),
    }
    return {
        f"tell-by-{name}": {
            "action": "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": summary,
            "messages": [{"$ref": f"#/channels/{name}/messages/{message}"}],
            **({"bindings": binding} if binding else {}),
        }
        for name, (message, summary, binding) in said.items()
    }


def _messages() -> dict[str, Any]:
    webhook = {"type": _TYPE, "timestamp": _TIME, "data": _ENTRY}
    topic = {
        "specversion": "1.0",
        "id": _EVENT,
        "source": "/notification",
        "type": _TYPE,
        "subject": "example-shelter-keraniganj",
        "time": _TIME,
        "datacontenttype": "application/json",
        "dataschema": schema_of(_TYPE),
        "sequence": f"{5:020d}",
        "actor": "service:notification.kafka",
        "data": _ENTRY,
    }
    stream = {
        "seq": 7,
        "type": _TYPE,
        "event_id": _EVENT,
        "case_id": "5f0c7f7e-40a7-4a0f-8c58-5c1f6d0d6a52",
        "sequence": 3,
        "time": _TIME,
        "referral": {"referral_id": _ENTRY["referral_id"], "state": "assigned", "version": 3},
    }
    shown = {
        "webhook": (WebhookMessage, "application/json", webhook),
        "topic": (TopicEvent, "application/cloudevents+json", topic),
        "stream": (StreamEntry, "application/json", stream),
    }
    return {
        name: {
            "name": name,
            "contentType": content,
            "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
            **({"headers": _HEADERS[name]} if name in _HEADERS else {}),
            "examples": [{"payload": example}],
        }
        for name, (model, content, example) in shown.items()
    }


def _schemas() -> dict[str, Any]:
    _, parts = msgspec.json.schema_components(
        [WebhookMessage, TopicEvent, StreamEntry], ref_template="#/components/schemas/{name}"
    )
    for part in parts.values():
        part["description"] = cleandoc(part["description"])  # what Python 3.13 does by itself
        if "type" in part["properties"]:
            part["properties"]["type"]["examples"] = sorted(REFERRAL_TYPES)
    return dict(sorted(parts.items()))


def render(origin: str) -> bytes:
    """Return the document as JSON that ends with a line."""
    return json.dumps(make_document(origin), indent=1, sort_keys=True).encode() + b"\n"


if __name__ == "__main__":
    sys.stdout.write(render(EXAMPLE_ORIGIN).decode())
