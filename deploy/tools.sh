#!/bin/sh
# Install what `make test-deploy` checks with into .venv/bin: wheels from the lock; Helm and
# kubectl-validate by Go, where Go is. A build that takes longer than TOOLS_WITHIN seconds is given
# up; what it built stays in Go's cache, so that the next try ends sooner.
set -eu
UV_PYTHON_DOWNLOADS=never .venv/bin/uv sync --frozen --all-extras --inexact --group deploy --quiet \
    --python .venv/bin/python
command -v go >/dev/null || { echo "no Go here: helm and kubectl-validate are not installed"; exit 0; }
within=${TOOLS_WITHIN:-300}
for tool in helm.sh/helm/v3/cmd/helm@v3.17.4 sigs.k8s.io/kubectl-validate@v0.0.4; do
    name=${tool##*/} name=${name%@*}
    [ -x ".venv/bin/$name" ] && continue
    echo "building $name"
    GOBIN=$PWD/.venv/bin timeout "$within" go install "$tool" >/dev/null 2>&1 ||
        echo "$name could not be built within $within s: try again"
done
