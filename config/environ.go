package config

import (
	"fmt"
	"sort"
	"strings"
)

// variablePrefix is what the variables of queues begin with.
const variablePrefix = "SLUICE_QUEUES_"

// readEnviron reads the variables of queues into a layer, in any case. known are the queues'
// names in the files: a variable's name does not show the end of a queue's name,
// nor its case, so that those are tried first. A variable that fits none of them
// makes a queue of its own, named in lower case.
func readEnviron(environ, known []string) *layer {
	l := newLayer()
	leaves := environLeaves(schema().child("queues").of, nil, nil)
	variables := environValues(environ)
	names := make([]string, 0, len(variables))
	for name := range variables {
		names = append(names, name)
	}
	sort.Strings(names)
	seen := make(map[string]string, len(names)) // by name in upper case
	for _, name := range names {
		upper := strings.ToUpper(name)
		rest, ok := strings.CutPrefix(upper, variablePrefix)
		if !ok {
			if rest, ok := strings.CutPrefix(upper, "SLUICE_QUEUE_"); ok {
				l.refuse(name, "no such variable", fmt.Sprintf("did you mean %q?", variablePrefix+rest))
			}
			continue
		}
		if other := seen[upper]; other != "" {
			l.refuse(name, "differs from $"+other+" in its case only", "set one of them")
			continue
		}
		seen[upper] = name
		switch fits := environFits(rest, known, leaves); len(fits) {
		case 0:
			l.refuse(name, "fits no key of a queue", nearestVariable(rest, known, leaves))
		case 1:
			// An empty variable is as good as none: that is how one is usually
			// taken back.
			if variables[name] != "" {
				l.setVariable(name, fits[0], variables[name])
			}
		default:
			l.refuse(name, fmt.Sprintf("fits both %s and %s", fits[0], fits[1]), "set it in a file")
		}
	}
	return l
}

// environValues returns the variables that begin as ours do.
func environValues(environ []string) map[string]string {
	values := make(map[string]string)
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && strings.HasPrefix(strings.ToUpper(name), "SLUICE_QUEUE") {
			values[name] = value
		}
	}
	return values
}

// A leaf is a key that holds a value, as the environment names it.
type leaf struct {
	variable string // such as DEAD_LETTER_NAME
	path     []string
	node     *node
}

func environLeaves(s *node, path []string, out []leaf) []leaf {
	for _, c := range s.children {
		at := append(path[:len(path):len(path)], c.key)
		if c.leaf() {
			out = append(out, leaf{variable: strings.ToUpper(strings.Join(at, "_")), path: at, node: c})
			continue
		}
		out = environLeaves(c, at, out)
	}
	return out
}

// A fit is what a variable can mean.
type fit struct {
	queue string
	leaf  leaf
}

func (f fit) String() string { return "queues." + f.queue + "." + strings.Join(f.leaf.path, ".") }

func environFits(rest string, known []string, leaves []leaf) []fit {
	var fits []fit
	for _, queue := range known {
		key, ok := strings.CutPrefix(rest, VariableName(queue)+"_")
		if !ok {
			continue
		}
		for _, l := range leaves {
			if l.variable == key {
				fits = append(fits, fit{queue, l})
			}
		}
	}
	if len(fits) > 0 {
		return fits
	}
	var best fit
	for _, l := range leaves {
		name, ok := strings.CutSuffix(rest, "_"+l.variable)
		if ok && name != "" && len(l.variable) > len(best.leaf.variable) {
			best = fit{strings.ToLower(name), l}
		}
	}
	if best.queue == "" || !queueName.MatchString(best.queue) {
		return nil
	}
	return []fit{best}
}

// VariableName is a queue's name as the environment has it: in upper case, with
// an underscore in place of every other character than a letter or a digit.
func VariableName(queue string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, queue)
}

func nearestVariable(rest string, known []string, leaves []leaf) string {
	var all []string
	for _, queue := range known {
		for _, l := range leaves {
			all = append(all, VariableName(queue)+"_"+l.variable)
		}
	}
	if len(all) == 0 {
		for _, l := range leaves {
			all = append(all, "NAME_"+l.variable)
		}
		return "known: " + variablePrefix + strings.Join(all, ", "+variablePrefix)
	}
	if remedy := didYouMean(rest, all); strings.HasPrefix(remedy, "did") {
		return strings.Replace(remedy, `"`, `"`+variablePrefix, 1)
	}
	return "such as " + variablePrefix + all[0]
}

func (l *layer) refuse(variable, problem, remedy string) {
	l.faults = append(l.faults, &Fault{Origin: Origin{Variable: variable}, Problem: problem, Remedy: remedy})
}

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
	path := append([]string{"queues", f.queue}, f.leaf.path...)
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
