"""The container images that a real cluster runs unless told otherwise, by their official names.

``make tools`` builds the same versions (tools/servers.sh), and puts them under these names where the images are absent.
"""

from __future__ import annotations

ETCD = "quay.io/coreos/etcd:v3.6.16"
TOXIPROXY = "ghcr.io/shopify/toxiproxy:2.12.0"
