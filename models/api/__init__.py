"""The Kubernetes API as data: kinds, trees, selectors, quantities, defaults, validation."""
