"""Campaigns against a real etcd: workload, faults, what is recorded, the verdict."""
