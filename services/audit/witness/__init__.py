"""Witnesses (C2SP tlog-witness): others cosign our checkpoints, and we can cosign theirs.

A witness remembers the last checkpoint of a log that it signed, and signs the next one only if the
log has grown from it. A log that shows two histories needs witnesses that lie with it.
"""
