#!/usr/bin/env bash
# Docker Engine, a daemon that answers, and the images that kchaos runs: `docker.sh`. Says what it lacks, and exits 1, where it can't.
# An image that is there already stays as it is; one that is absent is made, under its official name and with the label io.kchaos.built,
# of the same program from .tools/bin and nothing else, laid out as the official one (both are static programs on an empty file system).
set -euo pipefail
cd "$(dirname "$0")/.."
bin="$PWD/.tools/bin"
log="$PWD/.tools/dockerd.log"
mkdir -p "$bin"

lacks() {
  echo "not installed: $1" >&2
  exit 1
}

answers() { timeout 20 docker info >/dev/null 2>&1; }

if ! answers && ! command -v dockerd >/dev/null; then
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || lacks "docker (needs apt-get and root)"
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends docker.io containerd runc iptables >/dev/null
  echo "installed: docker"
fi

if ! answers; then
  [ "$(id -u)" = 0 ] || lacks "a running Docker daemon (needs root; or start it yourself)"
  if [ -d /run/systemd/system ]; then
    systemctl start docker || true
  else
    # what a killed daemon left would keep a new one from starting, once another process has its number
    for file in /var/run/docker.pid /run/docker/containerd/containerd.pid; do
      if [ -f "$file" ] && ! grep -qE '^(dockerd|containerd)$' "/proc/$(cat "$file")/comm" 2>/dev/null; then rm -f "$file"; fi
    done
    setsid nohup dockerd >>"$log" 2>&1 </dev/null &
  fi
  for _ in $(seq 60); do
    if answers; then break; fi
    sleep 0.5
  done
  if ! answers; then
    tail -n 20 "$log" >&2 || true
    lacks "a running Docker daemon (it does not answer; its log is .tools/dockerd.log)"
  fi
  echo "started: dockerd (log: .tools/dockerd.log)"
fi

made="$(mktemp -d)"
trap 'rm -rf "$made"' EXIT

image() { # NAME PROGRAM PATH-IN-IMAGE CHANGES...: PROGRAM alone, plus the folders that the official image has
  local name="$1" program="$2" path="$3" changes=()
  shift 3
  if docker image inspect "$name" >/dev/null 2>&1; then return 0; fi
  if [ ! -x "$program" ]; then
    echo "not made: image $name (there is no ${program#"$PWD/"})" >&2
    return 1
  fi
  rm -rf "$made/rootfs"
  mkdir -p "$made/rootfs/$(dirname "$path")" "$made/rootfs/var/lib/etcd" "$made/rootfs/tmp"
  cp "$program" "$made/rootfs/$path"
  for one in "$@" "LABEL io.kchaos.built=1"; do changes+=(--change "$one"); done
  tar -C "$made/rootfs" --owner=0 --group=0 --numeric-owner -c . | docker import "${changes[@]}" - "$name" >/dev/null
  echo "made: image $name"
}

etcd() { # BINARY...
  local program version
  for program in "$@"; do
    version="$("$program" --version 2>/dev/null | sed -n 's/^etcd Version: //p')"
    image "quay.io/coreos/etcd:v${version:-?}" "$program" usr/local/bin/etcd "ENV PATH=/usr/local/bin:/usr/bin:/bin" "EXPOSE 2379 2380" \
      'CMD ["/usr/local/bin/etcd"]' || failed=1
  done
}

failed=0
etcd "$bin/etcd-3.6" "$bin/etcd-3.5.1"
toxiproxy="$(.venv/bin/python -c 'from kchaos.real.images import TOXIPROXY; print(TOXIPROXY)')"
image "$toxiproxy" "$bin/toxiproxy-server" toxiproxy "EXPOSE 8474" 'ENTRYPOINT ["/toxiproxy"]' 'CMD ["-host=0.0.0.0"]' || failed=1
exit "$failed"
