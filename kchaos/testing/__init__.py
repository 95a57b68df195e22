"""What the pytest plugin is made of: the question that a test asks, the run and the cluster that it gets, the session's report."""
