// Command gotypes prints, as JSON, the Go structs behind the built-in Kubernetes kinds: fields in order, Go type as the spew
// library prints it, JSON name and patch tags. Its output is models/api/types.json; run it with `make types`.
package main

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"

	admission "k8s.io/api/admissionregistration/v1"
	apps "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	certificates "k8s.io/api/certificates/v1"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	events "k8s.io/api/events/v1"
	networking "k8s.io/api/networking/v1"
	node "k8s.io/api/node/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	resource "k8s.io/api/resource/v1"
	scheduling "k8s.io/api/scheduling/v1"
	storage "k8s.io/api/storage/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	aggregator "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// field is [Go name, JSON name ("" = inlined, "-" = not serialised), type, patch merge key, patch strategy, omitempty].
type field [6]any

var structs = map[string][]field{}

func name(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + name(t.Elem())
	case reflect.Slice:
		return "[]" + name(t.Elem())
	case reflect.Map:
		plain := "map[" + name(t.Key()) + "]" + name(t.Elem())
		if t.Name() != "" {
			return t.String() + "=" + plain
		}
		return plain
	case reflect.Struct:
		walk(t)
		return key(t) + "{}"
	}
	if t.String() != t.Kind().String() && t.Kind() != reflect.Interface {
		return t.String() + "=" + t.Kind().String()
	}
	return t.String()
}

// key tells apart types of one short name: core/v1.Event and events/v1.Event; spew prints what follows the slash.
func key(t reflect.Type) string {
	parts := strings.Split(t.PkgPath(), "/")
	if len(parts) < 2 {
		return t.String()
	}
	return parts[len(parts)-2] + "/" + t.String()
}

func walk(t reflect.Type) {
	if _, seen := structs[key(t)]; seen {
		return
	}
	switch t.String() {
	case "resource.Quantity", "v1.Time", "v1.MicroTime", "v1.Duration", "intstr.IntOrString", "runtime.RawExtension", "v1.FieldsV1",
		"v1.JSON", "v1.JSONSchemaPropsOrBool", "v1.JSONSchemaPropsOrArray", "v1.JSONSchemaPropsOrStringArray":
		return
	}
	structs[key(t)] = []field{}
	fields := []field{}
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		tag := strings.Split(f.Tag.Get("json"), ",")
		json := tag[0]
		omit := 0
		for _, o := range tag[1:] {
			if o == "omitempty" || o == "omitzero" {
				omit = 1
			}
			if o == "inline" {
				json = ""
			}
		}
		if json == "" && !f.Anonymous {
			json = f.Name
		}
		fields = append(fields, field{f.Name, json, name(f.Type), f.Tag.Get("patchMergeKey"), f.Tag.Get("patchStrategy"), omit})
	}
	structs[key(t)] = fields
}

func main() {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		core.AddToScheme, apps.AddToScheme, batch.AddToScheme, autoscaling.AddToScheme, autoscalingv1.AddToScheme, policy.AddToScheme,
		networking.AddToScheme, rbac.AddToScheme, storage.AddToScheme, scheduling.AddToScheme, discovery.AddToScheme,
		coordination.AddToScheme, admission.AddToScheme, node.AddToScheme, certificates.AddToScheme, events.AddToScheme,
		resource.AddToScheme, apiextensions.AddToScheme, aggregator.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	kinds := map[string]string{}
	for gvk, t := range scheme.AllKnownTypes() {
		if gvk.Version == runtime.APIVersionInternal || strings.HasSuffix(gvk.Kind, "List") || strings.HasSuffix(gvk.Kind, "Options") ||
			gvk.Kind == "WatchEvent" || gvk.Kind == "APIGroup" || strings.HasPrefix(gvk.Kind, "API") && gvk.Kind != "APIService" {
			continue
		}
		kinds[gvk.GroupVersion().String()+"/"+gvk.Kind] = strings.TrimSuffix(name(t), "{}")
	}
	out, err := json.Marshal(map[string]any{"kinds": kinds, "structs": structs})
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(out)
	os.Stdout.Write([]byte("\n"))
}
