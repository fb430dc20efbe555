"""Follows one's own feed as it happens. Needs: pip install httpx; PASHE_URL, PASHE_TOKEN."""

import json
import os
import time
from pathlib import Path

import httpx

kept = Path("last-event-id.txt")  # how far we are outlives this program
token = {"Authorization": f"Bearer {os.environ['PASHE_TOKEN']}"}
with httpx.Client(base_url=os.environ["PASHE_URL"], headers=token, timeout=30) as http:
    while True:
        last = {"Last-Event-ID": kept.read_text() if kept.exists() else "0"}
        try:  # a comment comes every 10 s: 30 s of silence are a dead line
            with http.stream("GET", "/referral/v1/referrals/stream", headers=last) as lines:
                lines.raise_for_status()
                for line in lines.iter_lines():
                    if line.startswith("data:"):
                        entry = json.loads(line.removeprefix("data:"))
                        referral = entry["referral"]
                        print(referral["referral_id"], entry["seq"], referral["state"], flush=True)
                        kept.write_text(str(entry["seq"]))  # after the work, never before it
        except httpx.HTTPError as error:
            print("again in 2 s:", type(error).__name__, flush=True)
        time.sleep(2)
