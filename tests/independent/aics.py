"""Check a published log with `aics-tlog`, and nothing of ours: `aics.py URL LOG WITNESS AT`.

LOG and WITNESS are verifier keys, AT the time in seconds at which cosignatures count.
"""

import sys

from aics_tlog import HttpTileReader, audit_tiles, parse_note, parse_vkey, verify_checkpoint

url, log, witness, at = sys.argv[1:]
reader = HttpTileReader(url, proxies={})
told = verify_checkpoint(
    parse_note(reader.read_checkpoint()),
    parse_vkey(log),
    [parse_vkey(witness)],
    quorum=1,
    now=int(at),
)
if not told.ok:
    sys.exit(f"checkpoint: {told.error}")
audit_tiles(reader, told.size, told.root)
sys.stdout.write(f"{told.size} entries hold, {told.cosignature_count} witnesses\n")
