package config

import (
	"encoding/json"
	"strings"
	"time"
)

// JSONSchema returns the JSON Schema (draft 2020-12) of a configuration file,
// for editors. It accepts what Load accepts, except that it cannot expand
// ${VARIABLES}: it accepts every value that contains one.
func JSONSchema() []byte {
	s := jsonSchema(schema())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Sluice configuration"
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		// The tree is made of maps, strings and numbers, which always marshal.
		return nil
	}
	return append(out, '\n')
}

// A value may be a variable wherever a scalar may stand.
const variablePattern = `\$\{[^}]+\}`

// shortUnits matches one term of what time.ParseDuration takes.
const shortUnits = `([0-9.]+(h|m|s|ms|us|µs|μs|ns))`

func jsonSchema(n *node) map[string]any {
	s := map[string]any{}
	if n.doc != "" {
		s["description"] = n.doc
	}
	switch n.kind {
	case section:
		properties := make(map[string]any, len(n.children))
		for _, c := range n.children {
			properties[c.key] = jsonSchema(c)
		}
		s["type"] = []string{"object", "null"}
		s["properties"] = properties
		s["patternProperties"] = map[string]any{"^" + extension: true}
		s["additionalProperties"] = false
	case byName:
		s["type"] = []string{"object", "null"}
		s["propertyNames"] = map[string]any{"pattern": queueName.String()}
		s["additionalProperties"] = jsonSchema(n.of)
	case textTable:
		s["type"] = []string{"object", "null"}
		s["additionalProperties"] = map[string]any{"type": []string{"string", "number", "boolean"}}
	case text:
		s["type"] = []string{"string", "number", "boolean", "null"}
	case queueURL:
		s["type"] = []string{"string", "null"}
		pattern := `^[A-Za-z][A-Za-z0-9+.-]*:|` + variablePattern
		for _, w := range n.words {
			pattern = "^" + w + "$|" + pattern
		}
		s["pattern"] = pattern
	case truth:
		s["type"] = []string{"boolean", "string", "null"}
		s["pattern"] = `^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$|` + variablePattern
	case count:
		s["type"] = []string{"integer", "string", "null"}
		s["minimum"] = n.min
		s["pattern"] = `^[0-9]+$|` + variablePattern
	case fraction:
		s["type"] = []string{"number", "string", "null"}
		s["exclusiveMinimum"], s["maximum"] = 0, 1
		s["pattern"] = `^[0-9.]+$|` + variablePattern
	case rate:
		s["type"] = []string{"string", "null"}
		s["pattern"] = `^[0-9]+/([0-9.]*[wd]|[0-9.]*(h|m|s|ms|us|µs|μs|ns))+$|` + variablePattern
	case key:
		s["type"] = []string{"string", "null"}
		names := []string{attributePrefix + ".+"}
		for _, k := range n.named {
			names = append(names, string(k))
		}
		s["pattern"] = `^(` + strings.Join(names, "|") + `)$|` + variablePattern
	case choice:
		s["type"] = []string{"string", "null"}
		s["pattern"] = `^(` + strings.Join(n.words, "|") + `)$|` + variablePattern
	case span:
		s["type"] = []string{"string", "integer", "null"}
		s["maximum"], s["minimum"] = 0, 0 // the only duration without a unit
		if n.positive {
			s["type"] = []string{"string", "null"}
			delete(s, "maximum")
			delete(s, "minimum")
		}
		s["pattern"] = `^\+?(0|[0-9.]+w([0-9.]+d)?` + shortUnits + `*|[0-9.]+d` + shortUnits + `*|` + shortUnits + `+)$|` + variablePattern
	}
	if n.standard != nil {
		switch v := n.standard.(type) {
		case time.Duration:
			s["default"] = FormatDuration(v)
		default:
			s["default"] = v
		}
	}
	return s
}
