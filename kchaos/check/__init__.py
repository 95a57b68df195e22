"""Properties, their monitors, verdicts and findings."""
