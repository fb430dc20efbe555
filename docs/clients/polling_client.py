"""Asks what changed in one's own referrals. Needs: pip install httpx; PASHE_URL, PASHE_TOKEN."""

import os
import time
from pathlib import Path

import httpx

kept = Path("polling-cursor.txt")  # how far we are outlives this program
cursor = kept.read_text() if kept.exists() else None
token = {"Authorization": f"Bearer {os.environ['PASHE_TOKEN']}"}
with httpx.Client(base_url=os.environ["PASHE_URL"], headers=token, timeout=30) as http:
    while True:
        try:
            answer = http.get("/referral/v1/referrals", params={"after": cursor} if cursor else {})
            page = answer.raise_for_status().json()
        except httpx.HTTPError as error:  # away, or too busy: the cursor loses nothing
            print("again in 5 s:", type(error).__name__, flush=True)
            time.sleep(5)
            continue
        for referral in page["items"]:  # as each is now; one may come again
            print(referral["referral_id"], referral["version"], referral["state"], flush=True)
        if page["next"]:
            cursor = page["next"]
            kept.write_text(cursor)  # after the work, never before it
        else:
            time.sleep(1)
