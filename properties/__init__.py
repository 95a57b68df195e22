"""Named claims with their sources, folded over a recorded Run."""

if __name__ != "kchaos.properties":
    raise ImportError("import kchaos.properties, not properties: the same module under two names would be two different modules")
