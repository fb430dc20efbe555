"""Check a proof file of a history: one file, Python's standard library, and `cryptography`.

    python check_proof.py FILE --keys KEYS [--receipt RECEIPT]

FILE holds what happened in one matter, as events, and for each event a path to the root of a hash
tree. The root is signed by the log, and witnesses on other machines signed that they saw it. KEYS
holds the public keys that you trust, got from somewhere else than FILE, one a line:

    log VKEY                 the key of the log
    witness NAME VKEY        the key of a witness
    quorum NAME              (may be missing) without this witness's signature nothing is believed
    service NAME HEX         the key with which a part of the centre signs its events

Exit code 0: everything holds. 1: something was changed. 2: it cannot be told. It asks no network.

What is checked, in this order (RFC 9162 for the tree, C2SP signed-note for signatures):
1. the checkpoint (name of the log, number of entries, root) is signed by the log, and by whom else;
2. SHA-256(salt + exact bytes of the event) is the entry, unless the event was erased;
3. SHA-256(0 + entry), joined with the hashes of the path, leads to the signed root;
4. the event is about this matter, and signed by the part of the centre that it names.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LOG, WITNESS = 1, 4  # kinds of keys: a plain signature, and one with the time before it


class Broken(Exception):  # noqa: N818
    """Something in the file was changed, or does not belong together."""


class CannotTell(Exception):  # noqa: N818
    """The file or the keys cannot be read, or a key is missing: nothing is proven either way."""


def signed_by(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether an Ed25519 signature holds."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_keys(text: str) -> dict[str, dict[str, Any]]:
    """Read the keys that are trusted."""
    keys: dict[str, dict[str, Any]] = {"log": {}, "witness": {}, "service": {}, "quorum": {}}
    short: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        try:
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "service":
                keys["service"][words[1]] = bytes.fromhex(words[2])
            elif words[0] == "quorum":
                keys["quorum"] = {} if words[1] == "none" else {short[words[1]]: True}
            else:  # name+id+key: the id is a hash of the name and the key
                name, told, typed = words[-1 if words[0] == "log" else 2].split("+", 2)
                key = base64.b64decode(typed, validate=True)
                kind = {"log": LOG, "witness": WITNESS}[words[0]]
                right = sha256(name.encode() + b"\n" + key).digest()[:4].hex() == told
                if not right or key[0] != kind:
                    raise ValueError  # noqa: TRY301
                keys[words[0]][name] = (bytes.fromhex(told), key[1:])
                short[words[1]] = name
        except (ValueError, KeyError, IndexError):
            message = f"line {number} of the keys cannot be read"
            raise CannotTell(message) from None
    return keys


def open_checkpoint(note: str, keys: dict[str, dict[str, Any]]) -> tuple[int, bytes, list[str]]:
    """Return number of entries, root, and who signed; the log must have."""
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    origin, size, root = [*text.split("\n"), "", "", ""][:3]
    if origin not in keys["log"]:
        message = f"no key of the log {origin!r} is known"
        raise CannotTell(message)
    signers = []
    for line in lines.splitlines():
        name, _, encoded = line.removeprefix("\u2014 ").partition(" ")
        raw = base64.b64decode(encoded)
        for kind in ("log", "witness"):
            known, public = keys[kind].get(name, (None, b""))
            if known != raw[:4] or (kind == "log" and name != origin):
                continue
            signed, signature, who = text.encode(), raw[4:], f"the log {name}"
            if kind == "witness":
                seconds, signature = int.from_bytes(raw[4:12], "big"), raw[12:]
                signed = b"cosignature/v1\ntime %d\n" % seconds + signed
                at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
                who = f"the witness {name}, who saw it at {at} UTC"
            if not signed_by(public, signed, signature):
                message = f"the signature of {name} under the checkpoint does not hold"
                raise Broken(message)
            signers.append(who)
    if not any(who == f"the log {origin}" for who in signers):
        raise Broken("the checkpoint is not signed by the log")
    for wanted in keys["quorum"]:
        if not any(who.startswith(f"the witness {wanted},") for who in signers):
            message = f"the witness {wanted} has not signed this checkpoint"
            raise CannotTell(message)
    return int(size), base64.b64decode(root), signers


def root_of(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """Follow a path from a leaf to the root (RFC 9162, section 2.1.3.2)."""
    own, last = index, size - 1
    for step in path:
        if last == 0:
            raise Broken("a path is too long")
        if own % 2 or own == last:
            leaf = sha256(b"\x01" + step + leaf).digest()
            while own and own % 2 == 0:
                own, last = own >> 1, last >> 1
        else:
            leaf = sha256(b"\x01" + leaf + step).digest()
        own, last = own >> 1, last >> 1
    if last or not 0 <= index < size:
        raise Broken("a path does not reach the root")
    return leaf


def check_entry(
    entry: dict[str, Any], case: str, size: int, root: bytes, services: dict[str, bytes]
) -> tuple[str, dict[str, Any]]:
    """Check one entry; return what it says in words, and its event (empty once erased)."""
    index, commitment = int(entry["index"]), bytes.fromhex(entry["commitment"])
    leaf = sha256(b"\x00" + commitment).digest()
    if root_of(index, size, leaf, [bytes.fromhex(step) for step in entry["hashes"]]) != root:
        message = f"entry {index} does not stand in the signed log"
        raise Broken(message)
    if entry["erased"]:
        return f"{index:>8}  erased; that it was here is proven", {}
    value = base64.b64decode(entry["event"], validate=True)
    if sha256(bytes.fromhex(entry["salt"]) + value).digest() != commitment:
        message = f"the event of entry {index} was changed"
        raise Broken(message)
    event = json.loads(value)
    if event["subject"] != case:
        message = f"entry {index} is about another matter"
        raise Broken(message)
    proof = entry["signature"] or ""
    raw = base64.urlsafe_b64decode(proof + "=" * (-len(proof) % 4))
    public = services.get(event["source"].strip("/"), b"")
    who = "signed by" if signed_by(public, value, raw) else "NOT PROVEN to be by"
    return f"{index:>8}  {event['time']}  {event['type']}, {who} {event['source']}", event


def check_receipt(token: str, services: dict[str, bytes], events: list[dict[str, Any]]) -> str:
    """Check a reporter's signed receipt, and that its report stands in this history."""
    head, _, last = token.strip().rpartition(".")
    claims = json.loads(base64.urlsafe_b64decode(head.partition(".")[2] + "=="))
    signature = base64.urlsafe_b64decode(last + "==")
    if not signed_by(services.get("intake", b""), head.encode(), signature):
        raise Broken("the receipt is not signed by the centre")
    if not any(event.get("id") == claims.get("event") for event in events):
        raise CannotTell("the receipt is genuine, and its report is not in this file")
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(claims["iat"]))
    return f"The receipt was given by {claims['iss']} at {at} UTC, and its report is among these."


def check(proof: dict[str, Any], keys: dict[str, dict[str, Any]], receipt: str = "") -> list[str]:
    """Check everything; return what it says, line by line."""
    if proof.get("format") != "pashe proof 1":
        raise CannotTell("the file is not a proof that this program knows")
    try:
        size, root, signers = open_checkpoint(proof["checkpoint"], keys)
        indexes = [int(entry["index"]) for entry in proof["entries"]]
        if any(later <= earlier for earlier, later in pairwise(indexes)):
            raise Broken("the entries are not in their order")
        case, services = str(proof["case"]), keys["service"]
        found = [check_entry(e, case, size, root, services) for e in proof["entries"]]
        events = [event for _, event in found]
        last = [check_receipt(receipt, services, events)] if receipt else []
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        message = f"the file cannot be read as a proof ({type(error).__name__})"
        raise CannotTell(message) from None
    erased = sum(not event for event in events)
    return [
        f"About {case}: {len(events)} entries, {erased} of them erased.",
        *(line for line, _ in found),
        f"All of them stand in a log of {size} entries, which is signed by",
        *(f"  {who}" for who in signers),
        *last,
    ]


def main(argv: list[str] | None = None) -> int:
    """Check what the arguments name; return 0 (holds), 1 (changed) or 2 (cannot tell)."""
    parser = argparse.ArgumentParser(description="Check a proof file, offline.")
    parser.add_argument("file", type=Path, help="the proof file")
    parser.add_argument("--keys", type=Path, required=True, help="the public keys that you trust")
    parser.add_argument("--receipt", type=Path, help="a file with a signed receipt")
    wanted = parser.parse_args(argv)
    try:
        keys = read_keys(wanted.keys.read_text("utf-8"))
        receipt = wanted.receipt.read_text("ascii") if wanted.receipt else ""
        proof = json.loads(wanted.file.read_bytes())
        lines = check(proof if isinstance(proof, dict) else {}, keys, receipt)
    except Broken as error:
        sys.stdout.write(f"BROKEN: {error}.\n")
        return 1
    except (CannotTell, OSError, ValueError, RecursionError) as error:
        sys.stdout.write(f"Cannot tell: {error}.\n")
        return 2
    sys.stdout.write("\n".join([*lines, "The proof holds.", ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
