"""Identities and the seams of authentication and authorisation."""
