// Command hashref prints the dump and hash that the real controllers make of the pod templates on standard input (a JSON list).
package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/dump"
	"k8s.io/apimachinery/pkg/util/rand"
	"os"
)

func main() {
	var ts []core.PodTemplateSpec
	if err := json.NewDecoder(os.Stdin).Decode(&ts); err != nil {
		panic(err)
	}
	for i := range ts {
		// objects reach controllers by protobuf
		raw, err := ts[i].Marshal()
		if err != nil {
			panic(err)
		}
		var t core.PodTemplateSpec
		if err := t.Unmarshal(raw); err != nil {
			panic(err)
		}
		d := dump.ForHash(t)
		h := fnv.New32a()
		h.Reset()
		fmt.Fprintf(h, "%v", d)
		o, _ := json.Marshal(map[string]string{"dump": d, "hash": rand.SafeEncodeString(fmt.Sprint(h.Sum32()))})
		fmt.Println(string(o))
	}
}
