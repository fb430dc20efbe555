"""An older release of this project, from its own history: code that speaks to the same schema."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA: Final = (
    "shared/kernel.sql",
    "shared/reach.sql",
    *(f"services/{name}/migrations/versions" for name in ("intake", "referral")),
    *(f"services/{name}/migrations/versions" for name in ("notification", "audit")),
)
"""What makes a schema. Migrations are only added to; an older release lacks the later ones."""

FARTHEST: Final = 300
"""Commits that are looked back."""


def git(*words: str, folder: Path = ROOT) -> str:
    done = subprocess.run(
        ["git", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def find_release() -> str | None:
    """Return the oldest commit whose schema the present one only adds to; None: there is none.

    Without a history (an archive, a shallow clone) there is none either.
    """
    try:
        commits = git("rev-list", f"--max-count={FARTHEST}", "HEAD").splitlines()[1:]
    except (OSError, subprocess.CalledProcessError):
        return None
    found = None
    for commit in commits:
        changes = git("diff", "--name-status", commit, "HEAD", "--", *SCHEMA).splitlines()
        if any(not line.startswith("A") for line in changes):
            break
        found = commit
    return found


def check_out(commit: str, folder: Path) -> None:
    """Put a commit into a new folder, as a working tree of this repository."""
    git("worktree", "add", "--detach", "--force", str(folder), commit)


def switch(folder: Path, commit: str) -> None:
    """Put another commit into the folder; processes that run go on with what they have loaded."""
    git("checkout", "--detach", "--force", commit, folder=folder)


def remove(folder: Path) -> None:
    """Take the working tree away again."""
    git("worktree", "remove", "--force", str(folder))
