package config

import (
	"fmt"
	"strings"
)

// A layer is what one source of configuration says.
type layer struct {
	// values are nested mappings with values of the kinds that the schema asks.
	values map[string]any
	// origins are the sources of the values, by path.
	origins map[string]Origin
	// removed are the paths that an earlier layer's values are taken away from.
	removed []string
	faults  []*Fault
}

func newLayer() *layer {
	return &layer{values: make(map[string]any), origins: make(map[string]Origin)}
}

// refuse records a fault of a variable.
func (l *layer) refuse(variable, problem, remedy string) {
	l.faults = append(l.faults, &Fault{Origin: Origin{Variable: variable}, Problem: problem, Remedy: remedy})
}

// setVariable sets the value that the variable fits, or records a fault.
func (l *layer) setVariable(name string, f fit, raw string) {
	var (
		v   any
		err error
	)
	if f.leaf.node.kind == textTable {
		v, err = parseTable(raw)
	} else {
		v, err = f.leaf.node.parse(raw)
	}
	if err != nil {
		l.faults = append(l.faults, &Fault{Origin: Origin{Variable: name}, Path: f.String(), Problem: err.Error()})
		return
	}
	path := f.path()
	at := l.values
	for _, key := range path[:len(path)-1] {
		inner, ok := at[key].(map[string]any)
		if !ok {
			inner = make(map[string]any)
			at[key] = inner
		}
		at = inner
	}
	at[path[len(path)-1]] = v
	l.origins[strings.Join(path, separator)] = Origin{Variable: name}
}

// setService sets a value of the section service: rest is the variable's name without its
// prefix.
func (l *layer) setService(name, rest, raw string) {
	leaves := environLeaves(schema().child("service"), nil, nil)
	known := make([]string, len(leaves))
	for i, one := range leaves {
		if one.variable == rest {
			if raw != "" { // an empty variable counts as none
				l.setVariable(name, fit{section: []string{"service"}, leaf: one}, raw)
			}
			return
		}
		known[i] = servicePrefix + one.variable
	}
	l.refuse(name, "fits no key of the section service", didYouMean(strings.ToUpper(name), known))
}

// parseTable reads "name=value,name=value".
func parseTable(raw string) (map[string]any, error) {
	table := make(map[string]any)
	for _, pair := range strings.Split(raw, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		k, v, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not name=value", pair)
		}
		table[strings.TrimSpace(k)] = strings.TrimSpace(v)
	}
	return table, nil
}
