package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/linkedin/goavro/v2"
)

// event is what a status needs of an event.
type event struct {
	kind       string
	instanceID string
	sequence   int64
	path       string
	workflow   string
}

type schema struct {
	kind  string
	codec *goavro.Codec
}

// decoder knows the published schemas by the fingerprint that each record begins with.
type decoder map[uint64]schema

// loadSchemas reads the event schemas of a folder, those in frozen/ too.
func loadSchemas(folder string) (decoder, error) {
	known := decoder{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if err != nil || !strings.HasPrefix(name, "io.sayiir.event.v1.") || filepath.Ext(name) != ".avsc" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var parsed map[string]any
		if err := json.Unmarshal(text, &parsed); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		plain, err := json.Marshal(withoutLogicalTypes(parsed))
		if err != nil {
			return err
		}
		codec, err := goavro.NewCodec(string(plain))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		known[codec.Rabin] = schema{kind: parsed["name"].(string), codec: codec}
		return nil
	})
	return known, err
}

// withoutLogicalTypes writes {"type": "long", "logicalType": …} as "long". Avro's
// canonical form does so too, but goavro's keeps the braces: another fingerprint.
func withoutLogicalTypes(node any) any {
	switch node := node.(type) {
	case map[string]any:
		if _, ok := node["logicalType"]; ok {
			return node["type"]
		}
		for key, value := range node {
			node[key] = withoutLogicalTypes(value)
		}
	case []any:
		for index, value := range node {
			node[index] = withoutLogicalTypes(value)
		}
	}
	return node
}

// decode reads an event under Avro's single-object encoding.
func (d decoder) decode(value []byte) (event, error) {
	fingerprint, _, err := goavro.FingerprintFromSOE(value)
	if err != nil {
		return event{}, err
	}
	writer, ok := d[fingerprint]
	if !ok {
		return event{}, fmt.Errorf("expected a schema of %d known ones, but fingerprint %x", len(d), fingerprint)
	}
	native, _, err := writer.codec.NativeFromSingle(value)
	if err != nil {
		return event{}, err
	}
	fields := native.(map[string]any)
	found := event{
		kind:       writer.kind,
		instanceID: fields["instance_id"].(string),
		sequence:   fields["sequence"].(int64),
	}
	found.path, _ = fields["path"].(string)
	found.workflow, _ = fields["workflow"].(string)
	return found, nil
}
