"""The small applications in which planted races show."""

from __future__ import annotations

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: app
          image: registry.example/app:1
          ports: [{containerPort: 8080}]
          resources: {requests: {cpu: 100m, memory: 64Mi}}
          readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 2}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
"""

TIGHT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: tight}
spec:
  replicas: 5
  strategy: {rollingUpdate: {maxUnavailable: 1, maxSurge: 0}}
  selector: {matchLabels: {app: tight}}
  template:
    metadata: {labels: {app: tight}}
    spec:
      containers:
        - name: app
          image: registry.example/app:1
          resources: {requests: {cpu: "40", memory: 64Mi}}
          readinessProbe: {exec: {command: ["true"]}, periodSeconds: 2}
"""
"""One pod fills a node, so one node too many in a scheduler's head is an over-commitment."""

PAIR = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: pair}
spec:
  replicas: 2
  selector: {matchLabels: {app: pair}}
  template:
    metadata: {labels: {app: pair}}
    spec:
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: DoNotSchedule
          labelSelector: {matchLabels: {app: pair}}
      containers:
        - name: app
          image: registry.example/app:1
          resources: {requests: {cpu: 100m, memory: 64Mi}}
          readinessProbe: {exec: {command: ["true"]}, periodSeconds: 2}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: pair}
spec:
  minAvailable: 1
  selector: {matchLabels: {app: pair}}
"""

STORE = """
apiVersion: v1
kind: Service
metadata: {name: store}
spec: {clusterIP: None, selector: {app: store}, ports: [{port: 5432}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  serviceName: store
  replicas: 3
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec:
      containers:
        - name: db
          image: registry.example/db:1
          volumeMounts: [{name: data, mountPath: /data}]
          resources: {requests: {cpu: 100m, memory: 64Mi}}
          readinessProbe: {exec: {command: ["true"]}, periodSeconds: 2}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""

AGENT = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers:
        - name: agent
          image: registry.example/agent:1
          resources: {requests: {cpu: 50m, memory: 32Mi}}
          readinessProbe: {exec: {command: ["true"]}, periodSeconds: 2}
"""


def _volume(index: int) -> str:
    return f"""
apiVersion: v1
kind: PersistentVolume
metadata: {{name: disk-{index}}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [ReadWriteOnce]
  storageClassName: local
  persistentVolumeReclaimPolicy: Retain
  csi: {{driver: disks.example, volumeHandle: disk-{index}}}
"""


VOLUMES = "---".join(
    [
        """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: Immediate
""",
        STORE.replace("accessModes: [ReadWriteOnce]", "storageClassName: local, accessModes: [ReadWriteOnce]").replace(
            "serviceName: store\n", "serviceName: store\n  podManagementPolicy: Parallel\n"
        ),
        *(_volume(index) for index in range(6)),
    ]
)
"""Volumes that an administrator made beforehand: each claim takes one of them."""
