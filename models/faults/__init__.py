"""Faults and user operations that speak Kubernetes."""
