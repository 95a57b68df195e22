"""Texts to objects: documents, lists, removed APIs, schema, duplicates, hooks; every object knows its file and line.

Pure: the caller reads the files. What can't be used is left out with a note that says where, what, and what to write instead.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from kchaos.models.api.decode import without_null_items
from kchaos.models.api.quantities import unreadable
from kchaos.models.api.resources import REMOVED, RESOURCES, by_kind
from kchaos.models.api.schema import misfits
from kchaos.models.api.tree import Obj, drop, get, put
from kchaos.models.manifests.custom import harmless, is_custom
from kchaos.models.manifests.notes import Note
from kchaos.models.manifests.redact import redact
from kchaos.models.manifests.yamltree import Document, line_of, parse

INSTALL_HOOKS = ("pre-install", "post-install", "crd-install")
_PLACEHOLDER = re.compile(r"\{\{.*?\}\}|\$\{[A-Za-z_][^}]*\}|\$\([A-Z_]+\)|@[A-Z_]{3,}@|<[A-Z_-]{3,}>")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_STEP = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")
_LIST_KINDS = frozenset(one.kind + "List" for one in RESOURCES) | {"List"}


class Text(NamedTuple):
    """One input: the name to show, and its bytes; or why it was not read."""

    name: str
    data: bytes
    skipped: str = ""


class Manifest(NamedTuple):
    """One object, where it stands, and its helm hook ("" for none)."""

    obj: Obj
    file: str
    line: int
    node: Any
    hook: str = ""
    prefix: str = ""

    @property
    def id(self) -> str:
        """Return Kind/namespace/name."""
        meta = self.obj["metadata"]
        return f"{self.obj['kind']}/{meta.get('namespace', '')}/{meta.get('name') or meta.get('generateName', '')}"

    def at(self, path: str) -> int:
        """Return the line of a field."""
        return line_of(self.node, self.prefix + path)


class Loaded(NamedTuple):
    """What came of the inputs. ``custom``: custom resources; ``skipped``: files that hold no Kubernetes object."""

    manifests: tuple[Manifest, ...]
    notes: tuple[Note, ...]
    custom: tuple[Manifest, ...] = ()
    kustomizations: tuple[str, ...] = ()


def load(texts: Iterable[Text], namespace: str = "default", kubernetes: str = "1.34") -> Loaded:
    """Read all objects of the inputs, in order. Never raises for bad input: it becomes notes."""
    reading = _Reading(namespace, kubernetes)
    for text in texts:
        reading.read(text)
    return reading.result()


class _Reading:
    def __init__(self, namespace: str, kubernetes: str) -> None:
        self._namespace = namespace
        self._kubernetes = kubernetes
        self._notes: list[Note] = []
        self._found: dict[str, Manifest] = {}
        self._custom: list[Manifest] = []
        self._kustomizations: list[str] = []
        self._unnamed = 0

    def result(self) -> Loaded:
        order = {"pre-install": 0, "crd-install": 0, "": 1, "post-install": 2}
        manifests = sorted(self._found.values(), key=lambda one: order.get(one.hook.partition(",")[0].strip(), 1))
        return Loaded(tuple(manifests), tuple(self._notes), tuple(self._custom), tuple(self._kustomizations))

    def _note(self, rule: str, level: str, file: str, line: int, message: str, hint: str = "", obj: str = "") -> None:
        self._notes.append(Note(rule, level, file, line, visible(message), visible(hint), obj))

    # -- text ----------------------------------------------------------------------------------------------------------

    def read(self, source: Text) -> None:
        if source.skipped:
            self._note("KC301", "info", source.name, 0, f"skipped: {source.skipped}")
            return
        text = self._decode(source)
        if text is None:
            return
        documents = 0
        for item in parse(text):
            if isinstance(item, Document):
                documents += 1
                self._document(source.name, item.value, item.node, text)
            elif item.fatal:
                more = ". Only what stands before it was read" if documents else ""
                rule = "KC308" if item.message.startswith("an unrendered template") or "{{" in item.message else "KC301"
                self._note(rule, "error", source.name, item.line, item.message + more, item.hint)
            else:
                self._note("KC307", "warning", source.name, item.line, item.message, item.hint)

    def _decode(self, source: Text) -> str | None:
        data = source.data
        if not data.strip():
            self._note("KC301", "info", source.name, 0, "the file is empty")
            return None
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return data.decode("utf-16", errors="replace")
        if b"\0" in data[:8192]:
            self._note("KC301", "error", source.name, 0, "a binary file, not YAML", "give text files")
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self._note("KC301", "error", source.name, line, "not UTF-8 text", "save the file as UTF-8")
            return None

    # -- documents -----------------------------------------------------------------------------------------------------

    def _document(self, file: str, value: Any, node: Any, text: str) -> None:
        line = node.start_mark.line + 1
        if not isinstance(value, dict):
            self._note("KC302", "info", file, line, f"skipped: {_shape(value)}, not a Kubernetes object")
            return
        kind, api_version = value.get("kind"), value.get("apiVersion")
        if not isinstance(kind, str) or not isinstance(api_version, str) or not kind or not api_version:
            self._no_object(file, line, value, node)
            return
        if kind in _LIST_KINDS:
            self._list(file, value, node, text)
            return
        if api_version.startswith("kustomize.config.k8s.io/"):
            self._kustomizations.append(file)
            self._note("KC302", "info", file, line, "skipped: a kustomization, not an object", "give its folder, and it is rendered")
            return
        if api_version.startswith(("skaffold/", "docker-compose")) or (kind == "Config" and "clusters" in value):
            self._note("KC302", "info", file, line, f"skipped: a file of another tool ({api_version} {kind})")
            return
        self._object(file, line, value, node, text)

    def _list(self, file: str, value: Obj, node: Any, text: str) -> None:
        kind, items = value["kind"], value.get("items")
        line = line_of(node, "items")
        if items is None or items == []:
            self._note("KC302", "info", file, line, f"skipped: a {kind} without items")
            return
        if not isinstance(items, list):
            self._note("KC302", "error", file, line, f"items of a {kind} must be a list", "write each object on lines that begin with `- `")
            return
        nodes = next((v for k, v in node.value if k.value == "items"), node)
        for index, item in enumerate(items):
            below = nodes.value[index]
            if isinstance(item, dict) and kind == "List" and not item.get("apiVersion") and not item.get("kind"):
                says = f"items[{index}] of a {kind} has no apiVersion and no kind: kubectl refuses the list"
                hint = "write for example `apiVersion: apps/v1` and `kind: Deployment`, or remove it"
                self._note("KC302", "error", file, below.start_mark.line + 1, says, hint)
            elif isinstance(item, dict):
                own = {"apiVersion": value["apiVersion"], "kind": kind.removesuffix("List"), **item} if kind != "List" else item
                self._document(file, own, below, text)
            else:
                says = f"items[{index}] of a {kind} is no object: kubectl refuses the list"
                self._note(
                    "KC302", "error", file, below.start_mark.line + 1, says, "write an object with apiVersion and kind, or remove it"
                )

    def _no_object(self, file: str, line: int, value: Obj, node: Any) -> None:
        missing = [key for key in ("apiVersion", "kind") if value.get(key) in (None, "")]
        if "services" in value and "kind" not in value and "apiVersion" not in value and isinstance(value["services"], dict):
            self._note(
                "KC302", "info", file, line, "skipped: a Docker Compose file, not Kubernetes objects", "convert it with `kompose convert`"
            )
        elif "resources" in value and len(missing) == 2 and isinstance(value["resources"], list):
            self._kustomizations.append(file)
            self._note("KC302", "info", file, line, "skipped: a kustomization, not an object", "give its folder, and it is rendered")
        elif len(missing) == 2 and "metadata" not in value and "spec" not in value:
            self._note("KC302", "info", file, line, "skipped: not a Kubernetes object (no apiVersion, no kind)")
        elif missing == ["kind"] and (file.rpartition("/")[2] == "Chart.yaml" or ("name" in value and "version" in value)):
            self._note("KC302", "info", file, line, "skipped: the Chart.yaml of a Helm chart", "give its folder, and it is rendered")
        else:
            examples = {"apiVersion": "apiVersion: apps/v1", "kind": "kind: Deployment"}
            if missing:
                says = f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing"
            else:
                missing = [key for key in examples if not isinstance(value[key], str)]
                says = f"{' and '.join(missing)} must be text"
                line = line_of(node, missing[0])
            self._note("KC302", "error", file, line, says, f"write for example `{' and '.join(examples[key] for key in missing)}`")

    # -- objects -------------------------------------------------------------------------------------------------------

    def _object(self, file: str, line: int, obj: Obj, node: Any, text: str) -> None:
        kind, api_version = obj["kind"], obj["apiVersion"]
        meta = obj.get("metadata")
        label = f"{kind} {get(obj, 'metadata', 'name', default='') or '(no name)'}"
        gone = REMOVED.get((api_version, kind))
        resource = by_kind(api_version, kind)
        if resource is None and gone is not None:
            since, instead, also = gone
            hint = f"write apiVersion: {instead}" + (f"; {also}" if also else "") if instead else also
            says = f"{label} uses {api_version}, which Kubernetes {since} removed: {self._kubernetes} refuses it, and the application runs without it"
            self._note("KC303", "error", file, line_of(node, "apiVersion"), says, hint, self._ident(obj))
            return
        if resource is None:
            self._foreign(file, line, obj, node)
            return
        if not isinstance(meta, dict):
            self._no_metadata(file, line, obj, node)
            return
        found = misfits(obj)
        wrong = [one for one in found if not one.unknown]
        if not wrong:
            wrong = unreadable(obj)
            found += wrong
        for one in found:
            level = "warning" if one.unknown else "error"
            at = line_of(node, one.path)
            rest = ": kubectl apply refuses the object; kchaos goes on without the field" if one.unknown else f", so {label} can't be read"
            hint = "render the template first" if not one.unknown and _placeholder_at(text, at) else _discreet(one.path, kind, one.hint)
            self._note("KC304" if one.unknown else "KC305", level, file, at, one.message + rest, hint, self._ident(obj))
        if wrong:
            return
        for one in reversed(found):  # all of them unknown fields
            obj = _without(obj, one.path)
        obj = without_null_items(obj)
        hook = str((get(obj, "metadata", "annotations", default={}) or {}).get("helm.sh/hook") or "")
        if hook and not any(part.strip() in INSTALL_HOOKS for part in hook.split(",")):
            self._note("KC313", "info", file, line, f"{label} is a helm hook ({hook}) that `helm install` does not run: left out")
            return
        if resource.namespaced:
            if not meta.get("namespace"):
                obj = put(obj, self._namespace, "metadata", "namespace")
        elif meta.get("namespace"):
            obj = drop(obj, "metadata", "namespace")
        if not meta.get("name") and not meta.get("generateName"):
            self._note("KC302", "error", file, line_of(node, "metadata"), f"{kind} without a name", "write metadata.name")
            return
        self._images(file, obj, node)
        self._add(Manifest(redact(obj), file, line, node, hook))

    def _no_metadata(self, file: str, line: int, obj: Obj, node: Any) -> None:
        says = f"{obj['kind']} without metadata" if obj.get("metadata") is None else f"metadata of a {obj['kind']} must be a mapping"
        at = line if obj.get("metadata") is None else line_of(node, "metadata")
        self._note("KC302", "error", file, at, says, "write metadata: with a name: below it")

    def _images(self, file: str, obj: Obj, node: Any) -> None:
        """Say which images are placeholders: the API server takes them, and no node can pull them."""
        for path, image in _images_in(obj):
            if found := placeholder(image):
                says = f"the image {found} is an unrendered template: the API server takes it, and no node can pull it"
                self._note(
                    "KC308", "error", file, line_of(node, path), says, "render it first: `helm template`, `envsubst`", self._ident(obj)
                )

    def _foreign(self, file: str, line: int, obj: Obj, node: Any) -> None:
        kind, api_version = obj["kind"], obj["apiVersion"]
        if is_custom(api_version):
            if not isinstance(obj.get("metadata"), dict):
                self._no_metadata(file, line, obj, node)
                return
            self._custom.append(Manifest(redact(obj), file, line, node))
            if harmless(api_version, kind):
                self._note(
                    "KC311",
                    "info",
                    file,
                    line,
                    f"{kind} {get(obj, 'metadata', 'name', default='')} makes no pods: not modelled",
                    "",
                    self._ident(obj),
                )
            return
        known = by_kind(None, kind)
        if known is not None:
            hint = f"write apiVersion: {known.api_version}"
        else:
            near = difflib.get_close_matches(kind, [one.kind for one in RESOURCES], n=1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else "`kubectl api-resources` lists what exists"
        at = line_of(node, "kind" if known is None else "apiVersion")
        self._note("KC303", "error", file, at, f"{api_version} has no kind {kind}: the API server refuses it", hint, self._ident(obj))

    def _ident(self, obj: Obj) -> str:
        meta = obj.get("metadata")
        meta = meta if isinstance(meta, dict) else {}
        known = by_kind(None, str(obj.get("kind")))
        space = "" if known is not None and not known.namespaced else meta.get("namespace") or self._namespace
        return f"{obj.get('kind')}/{space}/{meta.get('name', '')}"

    def _add(self, manifest: Manifest) -> None:
        meta = manifest.obj["metadata"]
        if not meta.get("name"):
            self._unnamed += 1
            self._found[f"{manifest.id}#{self._unnamed}"] = manifest
            return
        before = self._found.pop(manifest.id, None)
        if before is not None:
            same = before.obj == manifest.obj
            says = f"{manifest.obj['kind']} {meta['name']} is declared twice, " + (
                "both times the same" if same else "with different content"
            )
            where = f"{before.file}:{before.line}"
            hint = "" if same else "the later one counts, as `kubectl apply` does; keep one, or run them apart"
            self._note(
                "KC306",
                "info" if same else "warning",
                manifest.file,
                manifest.line,
                f"{says}: this one is used, not {where}",
                hint,
                manifest.id,
            )
        self._found[manifest.id] = manifest


def _images_in(obj: Obj) -> Iterator[tuple[str, str]]:
    """Yield (path, image) of all containers of an object."""
    base = {"Pod": ("spec",), "CronJob": ("spec", "jobTemplate", "spec", "template", "spec")}.get(obj["kind"], ("spec", "template", "spec"))
    for group in ("initContainers", "containers"):
        found = get(obj, *base, group, default=())
        for index, container in enumerate(found if isinstance(found, list) else ()):
            image = container.get("image") if isinstance(container, dict) else None
            if isinstance(image, str):
                yield f"{'.'.join(base)}.{group}[{index}].image", image


def _discreet(path: str, kind: str, hint: str) -> str:
    """Return a hint without the value, where that may be a secret."""
    secret = path.startswith(("data", "stringData")) if kind == "Secret" else re.search(r"\.env\[\d+\]\.value$", path) is not None
    return hint.partition(": ")[0] if secret else hint


def visible(text: str) -> str:
    """Return text without control characters: it comes from files, and goes to terminals."""
    return _CONTROL.sub("\ufffd", text)


def _placeholder_at(text: str, line: int) -> bool:
    rows = text.splitlines()
    return 0 < line <= len(rows) and _PLACEHOLDER.search(rows[line - 1]) is not None


def placeholder(text: str) -> str:
    """Return the first unrendered placeholder in a text, empty if none: ``{{ .Values.x }}``, ``${X}``, ``$(X)``, ``@X@``."""
    found = _PLACEHOLDER.search(text)
    return found[0] if found else ""


def _shape(value: Any) -> str:
    return "a list" if isinstance(value, list) else f"plain text ({str(value)[:30]!r})"


def _without(tree: Any, path: str) -> Any:
    """Return a tree without the member at a path like ``spec.containers[0].foo``."""
    steps: Sequence[tuple[str, str]] = _STEP.findall(path)
    return _cut(tree, list(steps))


def _cut(tree: Any, steps: list[tuple[str, str]]) -> Any:
    index = steps[0][0]
    if index and isinstance(tree, list):
        out = list(tree)
        out[int(index)] = _cut(out[int(index)], steps[1:])
        return out
    if not isinstance(tree, dict):
        return tree
    for size in range(len(steps), 0, -1):  # a map's key may hold dots
        name = ".".join(k for _, k in steps[:size])
        if name in tree:
            if size == len(steps):
                return {k: v for k, v in tree.items() if k != name}
            return {**tree, name: _cut(tree[name], steps[size:])}
    return tree
