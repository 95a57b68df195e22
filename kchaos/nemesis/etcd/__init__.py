"""Faults of a real etcd cluster: its peer connections by Toxiproxy, its processes by signals; each with the evidence that it bit."""
