"""kube-controller-manager: one module a controller."""
