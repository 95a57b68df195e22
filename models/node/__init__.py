"""kubelet, container runtime and volumes of a node."""
