"""Store, watch caches and the request path of kube-apiserver."""
