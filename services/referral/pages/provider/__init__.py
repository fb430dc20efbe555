"""`/provider`: what a worker of a place of help sees and answers, on a phone, without a script.

Each page asks what the interface asks, of the same use cases and with the same rights. The pages of
a signed link (`services.referral.api_links`) lie here too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
"""The folder of templates, texts and styles."""
