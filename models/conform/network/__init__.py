"""Recordings of the node network: kube-proxy's rules and conntrack, packet verdicts of the kernel, CoreDNS' answers, overlay entries."""
