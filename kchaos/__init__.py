"""Chaos and property testing for Kubernetes manifests, controllers and etcd, in one Python process."""

__version__ = "0.1.0"
