"""Proof that the checks bite: each named mutant takes one safeguard of the models away, and a campaign must notice."""
