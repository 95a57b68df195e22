"""Phases of a run, the sweep, replay and explain."""
