"""How far the reference implementation agrees with recordings of a real cluster: run a recorded story, write the same kind of log."""
