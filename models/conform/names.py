"""Canonical names of objects in recordings: objects with random names share a role, so that no fact says *which* of them."""

from __future__ import annotations

import re

from kchaos.models.api.pods import controller_of
from kchaos.models.api.tree import Obj, get

NAMESPACE = "story"
_WORD = re.compile(r"[a-z0-9][a-z0-9.-]*[a-z0-9]")
_ADDRESS = re.compile(r"\b10\.\d+\.\d+\.\d+\b")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\d[T ][0-9:.Z+ ]+(UTC)?")
_UID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b")


def daemon_node(pod: Obj) -> str:
    """Return the node that a DaemonSet made a pod for."""
    terms = get(pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms", default=())
    for term in terms:
        for field in term.get("matchFields") or ():
            if field["key"] == "metadata.name":
                return str(field["values"][0])
    return str(get(pod, "spec", "nodeName", default="?"))


class Names:
    """Roles by uid; a role is fixed when its object is first seen."""

    def __init__(self) -> None:
        self._role: dict[str, str] = {}
        self._by_name: dict[str, str] = {}
        self._revisions: dict[str, str] = {}
        self.known: dict[tuple[str, str, str], str] = {}
        """(kind, namespace, name) -> role."""

    def of(self, obj: Obj) -> str:
        """Return an object's role, such as ``pod:web-575b695fbb/*``."""
        meta = obj["metadata"]
        key = meta.get("uid") or f"{obj['kind']}|{meta.get('namespace')}|{meta['name']}"
        found = self._role.get(key)
        if found is None:
            found = self._role[key] = self._make(obj)
            own = found.partition(":")[2]
            if own != meta["name"]:
                self._by_name[meta["name"]] = own
            self.known[(obj["kind"], meta.get("namespace") or "", meta["name"])] = found
        return found

    def _owner(self, ref: Obj, space: str) -> str:
        own: str = self.known.get((ref["kind"], space, ref["name"]), "x:" + ref["name"]).partition(":")[2]
        return own[len(space) + 1 :] if space and own.startswith(space + "/") else own

    def _make(self, obj: Obj) -> str:
        meta, kind = obj["metadata"], obj["kind"]
        space, own, ref = meta.get("namespace") or "", meta["name"], controller_of(obj)
        before = "" if space in ("", NAMESPACE, "default") else space + "/"
        notes, labels = meta.get("annotations") or {}, meta.get("labels") or {}
        if kind == "Pod" and ref is not None:
            owner = self._owner(ref, space)
            if ref["kind"] == "DaemonSet":
                own = f"{owner}@{daemon_node(obj)}"
            elif ref["kind"] == "Job":
                index = notes.get("batch.kubernetes.io/job-completion-index")
                own = owner + (f"[{index}]" if index is not None else "") + "/*"
            elif ref["kind"] != "StatefulSet":
                own = owner + "/*"
        elif kind == "Pod" and meta.get("generateName"):
            own = meta["generateName"] + "*"
        elif kind == "Job" and ref is not None and ref["kind"] == "CronJob":
            own = ref["name"] + "/*"
        elif kind == "EndpointSlice":
            own = labels.get("kubernetes.io/service-name", "?") + "/*"
        elif kind == "ControllerRevision" and ref is not None and ref["kind"] == "DaemonSet":
            own = f"{ref['name']}/rev{obj.get('revision')}"
            hashed = labels.get("controller-revision-hash")
            if hashed:
                self._revisions[hashed] = f"<rev{obj.get('revision')}>"
        return f"{kind.lower()}:{before}{own}"

    def text(self, text: str) -> str:
        """Return free text with random names, addresses and times replaced."""
        for hashed, role in self._revisions.items():
            text = text.replace(hashed, role)
        text = _WORD.sub(lambda m: f"<{self._by_name[m[0]]}>" if m[0] in self._by_name else m[0], text)
        return _UID.sub("<uid>", _TIME.sub("<time> ", _ADDRESS.sub("<ip>", text)))
