"""client-go: requests, informers, work queues, leader election."""
