"""From a judged campaign to HTML, JUnit, JSON and the terminal."""

if __name__ != "kchaos.reports":
    raise ImportError("import kchaos.reports, not reports: the same module under two names would be two different modules")
