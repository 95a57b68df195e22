"""kube-scheduler: filter, score, preempt; pure functions and one shell."""
