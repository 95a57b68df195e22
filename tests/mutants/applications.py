"""The small applications on which mutants show; without a mutant nothing is wrong with them that the mutant's property speaks of."""

from __future__ import annotations

import msgspec

from kchaos.engine.settings import Settings
from kchaos.models.topology import Topology, spread_over_zones
from tests.mutants.mutant import Application
from tests.races import world

WEB = Application("web", world.WEB)
"""A Deployment of three behind a Service."""

STORE = Application("store", world.STORE)
"""A StatefulSet of three with volumes."""

STORE_IN_ONE_ZONE = Application("store in one zone", world.STORE, spread_over_zones(2, 1))
"""The same where volumes follow it everywhere: two members share a node."""

PARTED = Application(
    "store with a partition",
    world.STORE.replace("replicas: 3\n", "replicas: 3\n  updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}\n"),
)

AGENT = Application("agent", world.AGENT)
"""A DaemonSet."""

TIGHT = Application("tight", world.TIGHT, spread_over_zones(6, 3, "64", "256Gi"))
"""One pod fills a node."""

PAIR = Application("pair", world.PAIR)
"""Two pods that must be spread over nodes, and a budget."""

FULL = Application(
    "full",
    world.TIGHT.replace("replicas: 5", "replicas: 6").replace("{rollingUpdate: {maxUnavailable: 1, maxSurge: 0}}", "{type: Recreate}"),
    spread_over_zones(6, 3, "64", "256Gi"),
)
"""Each of six pods fills one of six nodes, and all are made anew at once."""

WEB_IN_ONE_ZONE = Application("web in one zone", world.WEB, spread_over_zones(3, 1))

CRON = Application(
    "cron",
    world.WEB
    + "".join(
        f"""---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: {name}}}
spec:
  schedule: "* * * * *"
  concurrencyPolicy: {policy}
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{{name: work, image: "registry.example/work:1"}}]
"""
        for name, policy in (("alone", "Forbid"), ("many", "Allow"))
    ),
    settings=Settings(defaults={"run_s": 90.0}),
)
"""Two CronJobs beside a Deployment; their Jobs take longer than a minute."""

RECREATED = Application(
    "recreated", world.WEB.replace("strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}", "strategy: {type: Recreate}")
)

SHORT_MEMORY = Application(
    "web with a short history",
    world.WEB.replace("replicas: 3\n", "replicas: 3\n  revisionHistoryLimit: 0\n  progressDeadlineSeconds: 30\n"),
)

ROBUST = Application(
    "robust web",
    """
apiVersion: apps/v1
kind: Deployment
metadata: {name: robust}
spec:
  replicas: 4
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector: {matchLabels: {app: robust}}
  template:
    metadata: {labels: {app: robust}}
    spec:
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: topology.kubernetes.io/zone
          whenUnsatisfiable: ScheduleAnyway
          labelSelector: {matchLabels: {app: robust}}
      initContainers:
        - name: prepare
          image: registry.example/prepare:1
        - name: proxy
          image: registry.example/proxy:1
          restartPolicy: Always
      containers:
        - name: app
          image: registry.example/app:1
          ports: [{containerPort: 8080}]
          lifecycle: {preStop: {sleep: {seconds: 10}}}
          resources: {requests: {cpu: 100m, memory: 64Mi}}
          startupProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 2, failureThreshold: 60}
          readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 2}
          livenessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 5}
---
apiVersion: v1
kind: Service
metadata: {name: robust}
spec:
  selector: {app: robust}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: robust}
spec:
  minAvailable: 3
  selector: {matchLabels: {app: robust}}
""",
)
"""A Deployment that does all that is recommended: init container, sidecar, hooks, probes, a budget."""

BATCH = Application(
    "batch",
    """
apiVersion: batch/v1
kind: Job
metadata: {name: numbers}
spec:
  completions: 4
  parallelism: 2
  completionMode: Indexed
  backoffLimit: 2
  template:
    metadata: {labels: {app: numbers}}
    spec:
      restartPolicy: Never
      containers:
        - name: work
          image: registry.example/work:1
          resources: {requests: {cpu: 100m}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: plain}
spec:
  completions: 3
  parallelism: 3
  backoffLimit: 1
  template:
    metadata: {labels: {app: plain}}
    spec:
      restartPolicy: Never
      containers:
        - name: work
          image: registry.example/work:1
          resources: {requests: {cpu: 100m}}
""",
)
"""Two Jobs: one with an index for each pod."""

QUOTA = Application(
    "web under a quota",
    world.WEB
    + """
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: small}
spec: {hard: {pods: "4", requests.cpu: 400m}}
""",
)
"""A Deployment with room for one pod more."""

MEMBERS = Application(
    "members",
    world.STORE.split("          volumeMounts")[0]
    + """          readinessProbe: {exec: {command: ["true"]}, periodSeconds: 2}
""",
)
"""A StatefulSet of three without volumes: its pods may be made anew anywhere."""

SLOW_MEMBERS = Application("slow members", MEMBERS.text, settings=Settings(defaults={"exit_after_s": 20.0}))
"""The same, whose processes take 20 s to end."""


def _in_shop(text: str) -> str:
    return "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---" + text.replace(
        "metadata: {name: web}", "metadata: {name: web, namespace: shop}"
    )


SHOP = Application("web in a namespace of its own", _in_shop(world.WEB))

CONSTANT = Application(
    "immutable settings",
    world.WEB
    + """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: constant}
immutable: true
data: {colour: blue}
""",
)

NEIGHBOURS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: apart}
spec:
  replicas: 2
  strategy: {rollingUpdate: {maxUnavailable: 1, maxSurge: 0}}
  selector: {matchLabels: {app: apart}}
  template:
    metadata: {labels: {app: apart}}
    spec:
      RULE
      containers:
        - name: app
          image: registry.example/app:1
          PORTS
          resources: {requests: {cpu: 100m, memory: 64Mi}}
          readinessProbe: {exec: {command: ["true"]}, periodSeconds: 2}
"""


def _neighbours(
    name: str, rule: str = "terminationGracePeriodSeconds: 30", ports: str = "imagePullPolicy: IfNotPresent", nodes: int = 3
) -> Application:
    return Application(name, NEIGHBOURS.replace("RULE", rule).replace("PORTS", ports), _cluster(nodes))


def _cluster(nodes: int) -> Topology:
    """Return nodes of which the last is another sort, and tainted."""
    plain = spread_over_zones(nodes, 3)
    last = msgspec.structs.replace(
        plain.nodes[-1], labels={"disk": "slow"}, taints=({"key": "special", "value": "yes", "effect": "NoSchedule"},)
    )
    first = tuple(msgspec.structs.replace(one, labels={"disk": "fast"}) for one in plain.nodes[:-1])
    return msgspec.structs.replace(plain, nodes=(*first, last))


APART = _neighbours(
    "apart",
    "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution:"
    " [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: apart}}}]}}",
)
"""Two pods that must not share a node."""

PORTS = _neighbours("host ports", ports="ports: [{containerPort: 8080, hostPort: 8080}]")
"""Two pods that need the same port of their node."""

PICKY = _neighbours("picky", "nodeSelector: {disk: fast}\n      tolerations: [{operator: Exists}]", nodes=4)
"""Two pods that belong on nodes with fast disks."""

TAINTED = _neighbours("tainted", nodes=4)
"""Two pods, and a node that wants none of them."""

RANKED = Application(
    "ranked",
    """
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 1000
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: low}
value: 10
"""
    + "".join(
        f"""---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {count}
  strategy: {{rollingUpdate: {{maxUnavailable: 1, maxSurge: 0}}}}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      priorityClassName: {name}
      containers:
        - name: app
          image: registry.example/app:1
          resources: {{requests: {{cpu: "5"}}}}
          readinessProbe: {{exec: {{command: ["true"]}}, periodSeconds: 2}}
"""
        for name, count in (("high", 2), ("low", 1))
    ),
)
"""A full cluster of three nodes: when one is lost, the least important pod has to go."""

VOLUMES = Application("volumes made beforehand", world.VOLUMES)
"""A Parallel StatefulSet whose claims take volumes of an administrator."""


CONNECTED = Application(
    "connected",
    world.WEB.replace(
        "  ports: [{port: 80, targetPort: 8080}]",
        "  type: NodePort\n  externalTrafficPolicy: Local\n  ports: [{port: 80, targetPort: 8080}]",
    )
    + """---
apiVersion: v1
kind: Service
metadata: {name: members}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a-closed}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: b-clients}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {matchLabels: {role: client}}}], ports: [{port: 8080}]}]
"""
    + "".join(
        f"""---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {role}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{role: {role}}}}}
  template:
    metadata: {{labels: {{role: {role}}}}}
    spec:
      containers: [{{name: app, image: "registry.example/{role}:1", readinessProbe: {{exec: {{command: ["true"]}}}}}}]
"""
        for role in ("client", "stranger")
    ),
)
"""Node ports that stay local, a headless Service, and policies that let some pods in and others not."""

CALLING = Application(
    "calling",
    world.WEB.replace("    spec:\n      containers", "    spec:\n      serviceAccountName: caller\n      containers", 1)
    + """---
apiVersion: v1
kind: ServiceAccount
metadata: {name: caller}
""",
    settings=Settings(workloads={"default/web": {"calls": [{"verb": "list", "resource": "secrets"}]}}),
)
"""A Deployment whose pods ask for what no role gives them."""


def _guarded(name: str, guard: str, labels: str = "{}") -> Application:
    head = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {labels}}}\n---{guard}"
    return Application(name, head + world.WEB.replace("metadata: {name: web}", "metadata: {name: web, namespace: shop}").replace(
        "ports: [{containerPort: 8080}]\n", "ports: [{containerPort: 8080, hostPort: 8080}]\n"
    ).replace("requests: {cpu: 100m, memory: 64Mi}", "requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 2}"))  # fmt: skip


BASELINE = _guarded("pods that the baseline forbids", "", "{pod-security.kubernetes.io/enforce: baseline}")
LIMITED = _guarded(
    "pods beyond their limits",
    """
apiVersion: v1
kind: LimitRange
metadata: {name: small, namespace: shop}
spec: {limits: [{type: Container, max: {cpu: "1"}}]}
---""",
)
