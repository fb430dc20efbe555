"""An image holds shared/ and one service, and every package that these import."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

from deploy.local.keys import SERVICES
from tests.support.processes import ROOT

ADDED = frozenset({"pyarrow"})
"""What an extra adds, and where it is not the service says so."""


@cache
def graph() -> grimp.ImportGraph:
    """Return who imports whom when a service runs."""
    found = grimp.build_graph(
        "shared",
        "services",
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )
    # Imported at the first place that is named in free text: intake alone reads any.
    found.remove_import(importer="shared.places", imported="shared.gazetteer")
    return found


def imported_by(service: str) -> set[str]:
    """Return the top-level packages from elsewhere that a service and what it uses import."""
    reached = graph().find_upstream_modules(f"services.{service}", as_package=True)
    reached |= graph().find_upstream_modules("shared.migrate") | {"shared.alive"}
    outside = {name.partition(".")[0] for name in reached} - {"shared", "services"}
    return outside - sys.stdlib_module_names - ADDED


def installed_for(service: str) -> set[str]:
    """Return the packages that the image of a service installs, as `uv.lock` has them."""
    uv = Path(sys.executable).with_name("uv")
    words = ["export", "--frozen", "--no-dev", "--no-hashes", "--no-emit-project"]
    done = subprocess.run(
        [uv, *words, "--extra", service],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(re.findall(r"^([A-Za-z0-9._-]+)==", done.stdout, re.MULTILINE))


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_every_package_that_its_code_imports(service: str) -> None:
    of = packages_distributions()
    installed = {plain(name) for name in installed_for(service)}
    missing = {
        name
        for name in imported_by(service)
        if not installed & {plain(package) for package in of.get(name, [name])}
    }
    assert missing == set()


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_needs_no_other_service_and_no_deployment(service: str) -> None:
    own = [m for m in graph().modules if m.startswith(("shared", f"services.{service}"))]
    reached = {i for m in own for i in graph().find_modules_directly_imported_by(m)}
    others = {n for n in reached if n.startswith("services.")}
    assert {n for n in others if not n.startswith(f"services.{service}")} == set()
    assert "deploy" not in {n.partition(".")[0] for n in reached}


def test_only_intake_reads_places_in_free_text() -> None:
    texts = [ROOT / "services" / name for name in SERVICES if name != "intake"]
    files = [file for folder in texts for file in folder.rglob("*.py")]
    assert [
        f for f in files if re.search(r"shared\.gazetteer|places\.resolve", f.read_text())
    ] == []


def test_the_image_installs_with_the_uv_of_set_up() -> None:
    image = re.search(r"^ARG UV=(\S+)", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    set_up = re.search(r"^UV=(\S+)", (ROOT / "deploy/local/set-up.sh").read_text(), re.MULTILINE)
    assert image
    assert set_up
    assert image.group(1) == set_up.group(1)
