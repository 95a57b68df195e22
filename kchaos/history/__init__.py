"""What happened: the recorded Run and views over it."""
