"""The simulated world: virtual time, network, disk and clocks, deterministic."""
