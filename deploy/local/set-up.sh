#!/bin/sh
# Make .venv with everything in the lock; run from the project's folder. Needs Python 3.11 to 3.13.
set -eu

UV=0.13.9
READY=.venv/.ready

fail() {
    echo "pashe: $1" >&2
    exit 1
}

# The name of a Python that fits and has the modules asked for, or nothing. PYTHON names one to try first.
# The system's own comes next: distributions build it optimised, which version managers mostly do not
# (plain code takes half as long again, a report a tenth).
find_python() {
    for name in ${PYTHON:-} /usr/bin/python3 python3.13 python3.12 python3.11 python3; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
for name in sys.argv[1:]: __import__(name)' "$@" 2>/dev/null
        then
            echo "$name"
            return
        fi
    done
}

unset VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH UV_PROJECT_ENVIRONMENT
export UV_PYTHON_DOWNLOADS=never

if ! .venv/bin/python -c 'import sys' 2>/dev/null; then
    python=$(find_python ensurepip venv)
    [ -n "$python" ] || python=$(find_python)
    [ -n "$python" ] || fail "Python 3.11, 3.12 or 3.13 is needed; there is: $(
        python3 --version 2>/dev/null || echo none). Install one, or name it: make run PYTHON=/path/to/python3"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make virtual environments (no ensurepip): on Debian or Ubuntu, apt install python3-venv"
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv || fail "the virtual environment .venv could not be made"
fi
.venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null ||
    fail ".venv has no pip: remove it and try again"
if [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "$UV" ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV" ||
        fail "uv could not be installed: is the network there?"
fi
# --inexact: pip and uv themselves are not in the lock, and stay. Bytecode is made once, here: a stack
# is many processes, and where Python may not write it each of them would compile all it imports.
.venv/bin/uv sync --frozen --all-extras --inexact --compile-bytecode --python .venv/bin/python ||
    fail "the packages of uv.lock could not be installed: is the network there?"
.venv/bin/python -m compileall -q services shared deploy tests >/dev/null || true
.venv/bin/python -m deploy.local.kafka_image || true # Kafka starts without it, too, in twice the time
touch "$READY"
