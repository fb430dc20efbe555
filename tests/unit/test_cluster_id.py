"""The id of an embedded Kafka cluster."""

from __future__ import annotations

import uuid

from deploy.local.kafka import make_cluster_id


def test_no_cluster_id_looks_like_an_option() -> None:
    like_an_option = uuid.UUID(bytes=b"\xf8" + bytes(15))  # its base64url begins with a dash
    plain = uuid.UUID(bytes=bytes(16))
    drawn = iter([like_an_option, like_an_option, plain])
    assert make_cluster_id(lambda: next(drawn)) == "A" * 22
