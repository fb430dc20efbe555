"""Become a program that ends when its parent ends: `launch.py PARENT SIGNAL UID GID PROGRAM ARG…`.

Run by path with `python -I -S`, so it imports the standard library only. The user is changed first,
because a change of credentials clears the parent-death signal (prctl(2), PR_SET_PDEATHSIG); the
signal survives the execve that follows. A parent that died in between is noticed by its id.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
KEEP = -1
"""As UID: stay who you are."""


def main(argv: list[str]) -> None:
    """Drop to UID and GID, tie this process to PARENT, and become PROGRAM."""
    parent, signal_number, uid, gid = (int(word) for word in argv[1:5])
    libc = ctypes.CDLL(None, use_errno=True)
    if uid != KEEP:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    if libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")
    os.execv(argv[5], argv[5:])  # noqa: S606  (it is what this program is for)


if __name__ == "__main__":
    main(sys.argv)
