"""Takes webhooks. Needs: pip install standardwebhooks; PASHE_SECRET (whsec_…), PORT."""

import os
import sqlite3
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

verifier = Webhook(os.environ["PASHE_SECRET"])
store = sqlite3.connect("webhooks.sqlite")
store.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY)")


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length) if length <= 20_000 else b""
        try:
            told = verifier.verify(body, dict(self.headers))
        except (WebhookVerificationError, ValueError):
            self.send_response(400)
        else:
            with store:  # the id and the work are kept together, then it is answered
                new = store.execute(
                    "INSERT OR IGNORE INTO seen VALUES (?)", [self.headers["webhook-id"]]
                ).rowcount
                if new:
                    data = told["data"]
                    print(data["referral_id"], data["cursor"], data["state"], flush=True)
            self.send_response(204)  # also for one that came before
        self.end_headers()


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()  # TLS: your proxy's
