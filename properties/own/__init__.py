"""Properties that users declare: what they see of a cluster, the expressions and functions over it, and the forms of claims."""
