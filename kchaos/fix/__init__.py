"""What to change: small edits of the user's files, each simulated again before it is suggested."""
