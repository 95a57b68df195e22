"""Service proxies and the traffic that users send."""
