"""What the loader has to say about the user's files: rules with stable ids, and notes that point to file and line."""

from __future__ import annotations

from typing import NamedTuple

DOCS = "https://kubernetes.io/docs/"


class Rule(NamedTuple):
    """One rule of the loader: stable id, name, what it claims, where that is written."""

    id: str
    name: str
    claim: str
    source: str


RULES: tuple[Rule, ...] = (
    Rule("KC301", "readable", "Every input file can be read as YAML or JSON.", "https://yaml.org/spec/1.2.2/"),
    Rule("KC302", "kubernetes-object", "Every document is a Kubernetes object with apiVersion, kind and a name.",
         DOCS + "concepts/overview/working-with-objects/#required-fields"),
    Rule("KC303", "served-api", "Every apiVersion is served by this Kubernetes version.", DOCS + "reference/using-api/deprecation-guide/"),
    Rule("KC304", "known-fields", "Every field exists. kubectl refuses unknown fields; older clients drop them silently.",
         DOCS + "reference/using-api/api-concepts/#field-validation"),
    Rule("KC305", "right-types", "Every field has the type that the API asks for.",
         DOCS + "reference/using-api/api-concepts/#field-validation"),
    Rule("KC306", "declared-once", "No object is declared twice: the later file silently wins.",
         DOCS + "reference/kubectl/generated/kubectl_apply/"),
    Rule("KC307", "keys-once", "No key stands twice in a mapping: the last one silently wins.", "https://yaml.org/spec/1.2.2/#3213-node-comparison"),
    Rule("KC308", "rendered", "Templates are rendered.", "https://helm.sh/docs/helm/helm_template/"),
    Rule("KC309", "accepted", "The API server accepts every object.", DOCS + "reference/using-api/api-concepts/"),
    Rule("KC310", "selector-matches", "The selector of a Service or PodDisruptionBudget matches pods.",
         DOCS + "concepts/services-networking/service/#defining-a-service"),
    Rule("KC311", "not-known", "The pods of every custom resource are known from these files.",
         DOCS + "concepts/extend-kubernetes/operator/"),
    Rule("KC312", "not-modelled", "Everything in the files that can change the answer is modelled.", "docs/status.md"),
    Rule("KC314", "class-exists", "Every claim's StorageClass exists.", DOCS + "concepts/storage/storage-classes/"),
    Rule("KC315", "known-workload", "Every workload and object that kchaos.yaml names is in the input, and can be what it says.", "docs/kchaos-yaml.md"),
    Rule("KC316", "gates-open", "Something in the input removes the scheduling gates of its pods.",
         DOCS + "concepts/scheduling-eviction/pod-scheduling-readiness/"),
    Rule("KC317", "target-port", "The targetPort of a Service is a port of the pods that it selects.",
         DOCS + "concepts/services-networking/service/#field-spec-ports"),
    Rule("KC318", "probe-port", "The port that a probe names is a port of its container.",
         DOCS + "tasks/configure-pod-container/configure-liveness-readiness-startup-probes/"),
    Rule("KC319", "references-exist", "The ConfigMaps, Secrets and service accounts that pods need are there.",
         DOCS + "tasks/configure-pod-container/configure-pod-configmap/#restrictions"),
    Rule("KC320", "governing-service", "The Service that a StatefulSet names is there.",
         DOCS + "concepts/workloads/controllers/statefulset/#stable-network-id"),
    Rule("KC321", "jobs-complete", "Every Job completes while the cluster comes up.", DOCS + "concepts/workloads/controllers/job/"),
    Rule("KC322", "fits-a-node", "A DaemonSet fits at least one node.",
         DOCS + "concepts/workloads/controllers/daemonset/#running-pods-on-select-nodes"),
    Rule("KC323", "makes-pods", "What is given makes pods: it is not paused, not scaled to zero, and not deleted at once.",
         DOCS + "concepts/architecture/garbage-collection/#owners-dependents"),
    Rule("KC324", "roles-grant", "Bindings lead from service accounts to roles that are there, and each rule grants something.",
         DOCS + "reference/access-authn-authz/rbac/"),
    Rule("KC330", "policies-let-through", "NetworkPolicies let some client in to every Service, and pods out to the Services that they name.",
         DOCS + "concepts/services-networking/network-policies/"),
    Rule("KC331", "exercised", "Every property that users declare is put to the test: it is judged in at least one example, and its `when` comes about.",
         "docs/property.md"),
    Rule("KC313", "hooks", "Helm hooks are treated as `helm install` does.", "https://helm.sh/docs/topics/charts_hooks/"),
)  # fmt: skip
BY_ID = {rule.id: rule for rule in RULES}


class Note(NamedTuple):
    """One remark. ``level``: error, warning, info, or unknown (the answer may depend on what is not known)."""

    rule: str
    level: str
    file: str
    line: int
    message: str
    hint: str = ""
    object: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")
