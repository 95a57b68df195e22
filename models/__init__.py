"""The reference implementation of Kubernetes: pure decisions and thin shells over a Runtime."""

if __name__ != "kchaos.models":
    raise ImportError("import kchaos.models, not models: the same module under two names would be two different modules")
