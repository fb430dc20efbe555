"""Files of keys belong to whom reads them, whoever writes them again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from deploy.local.home import write_private
from deploy.local.keys import make_keys
from deploy.prepare import SERVICE_UID, prepare
from services.audit.keeping import keep

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def test_what_a_restore_writes_again_is_still_read_by_the_services(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    prepare(folder)
    (folder / "keys" / "intake" / "sessions.key").unlink()  # short-lived: it is made anew
    make_keys(folder / "keys", beside_data=True)
    files = [path for path in (folder / "keys").rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if path.stat().st_uid != SERVICE_UID] == []
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert (folder / "passwords.json").stat().st_uid == 0


def test_whoever_owns_the_folder_is_not_given_a_file_elsewhere(tmp_path: Path) -> None:
    other, folder = tmp_path / "other", tmp_path / "keys"
    other.write_text("whole")
    folder.mkdir()
    os.chown(folder, SERVICE_UID, SERVICE_UID)
    (folder / f".one.{os.getpid()}").symlink_to(other)
    (folder / "two.new").symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        write_private(folder / "one", b"x")
    with pytest.raises(OSError, match="symbolic links"):
        keep(folder / "two", b"x")
    assert (other.read_text(), other.stat().st_uid) == ("whole", 0)
