"""Who asks, what they may, and what admission lets through: authentication, RBAC, Node authoriser, Pod Security, limits, webhooks."""
