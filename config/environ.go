package config

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// servicePrefix is what the variables of the section service begin with.
const servicePrefix = "SLUICE_SERVICE_"

// topVariables are the variables of the keys beside the sections.
var topVariables = map[string]string{"SLUICE_DELAY_STORE": "delay_store", "SLUICE_JOBS": "jobs"}

// variablePrefix is what the variables of a section of names begin with.
func variablePrefix(section string) string { return "SLUICE_" + strings.ToUpper(section) + "_" }

// readEnviron reads the variables of queues, schedules and the service into a layer, in any
// case. known are the names of queues and schedules in the files: a variable's name does not
// show the end of a queue's name, nor its case, so that those are tried first. A variable
// that matches none of them defines a new queue or schedule, named in lower case.
func readEnviron(environ []string, known map[string][]string) *layer {
	l := newLayer()
	variables := environValues(environ)
	names := make([]string, 0, len(variables))
	for name := range variables {
		names = append(names, name)
	}
	sort.Strings(names)
	seen := make(map[string]string, len(names)) // by name in upper case
	for _, name := range names {
		upper := strings.ToUpper(name)
		if rest, ok := strings.CutPrefix(upper, servicePrefix); ok {
			l.setService(name, rest, variables[name])
			continue
		}
		if key, ok := topVariables[upper]; ok {
			if variables[name] != "" {
				l.setVariable(name, fit{leaf: leaf{path: []string{key}, node: schema().child(key)}}, variables[name])
			}
			continue
		}
		section, rest, remedy := sectionOf(upper)
		if section == "" {
			if remedy != "" {
				l.refuse(name, "no such variable", remedy)
			}
			continue
		}
		leaves := environLeaves(schema().child(section).of, nil, nil)
		if other := seen[upper]; other != "" {
			l.refuse(name, "differs from $"+other+" only in case", "set one of them")
			continue
		}
		seen[upper] = name
		switch fits := environFits(section, rest, known[section], leaves); len(fits) {
		case 0:
			l.refuse(name, "matches no key of a "+strings.TrimSuffix(section, "s"), nearestVariable(section, rest, known[section], leaves))
		case 1:
			// An empty variable is as good as none: that is how one is usually
			// taken back.
			if variables[name] != "" {
				l.setVariable(name, fits[0], variables[name])
			}
		default:
			l.refuse(name, fmt.Sprintf("matches both %s and %s", fits[0], fits[1]), "set it in a file")
		}
	}
	return l
}

// sectionOf returns the section of names that a variable belongs to and the variable's rest,
// or a remedy if the variable seems to be meant for one.
func sectionOf(upper string) (section, rest, remedy string) {
	for _, section := range []string{"queues", "schedules"} {
		prefix := variablePrefix(section)
		if rest, ok := strings.CutPrefix(upper, prefix); ok {
			return section, rest, ""
		}
		if rest, ok := strings.CutPrefix(upper, strings.TrimSuffix(prefix, "S_")+"_"); ok {
			return "", "", fmt.Sprintf("did you mean %q?", prefix+rest)
		}
	}
	return "", "", ""
}

// environValues returns the variables that begin as ours do.
func environValues(environ []string) map[string]string {
	values := make(map[string]string)
	for _, e := range environ {
		name, value, ok := strings.Cut(e, "=")
		if !ok {
			continue
		}
		upper := strings.ToUpper(name)
		if topVariables[upper] != "" {
			values[name] = value
		}
		for _, prefix := range []string{"SLUICE_QUEUE", "SLUICE_SCHEDULE", servicePrefix} {
			if strings.HasPrefix(upper, prefix) {
				values[name] = value
			}
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
	section []string // such as queues and the queue's name
	leaf    leaf
}

// path returns the path of the key.
func (f fit) path() []string { return append(slices.Clone(f.section), f.leaf.path...) }

func (f fit) String() string { return strings.Join(f.path(), ".") }

func environFits(section, rest string, known []string, leaves []leaf) []fit {
	var fits []fit
	for _, name := range known {
		key, ok := strings.CutPrefix(rest, variableOf(name)+"_")
		if !ok {
			continue
		}
		for _, l := range leaves {
			if l.variable == key {
				fits = append(fits, fit{[]string{section, name}, l})
			}
		}
	}
	if len(fits) > 0 {
		return fits
	}
	var best leaf
	lower := ""
	for _, l := range leaves {
		name, ok := strings.CutSuffix(rest, "_"+l.variable)
		if ok && name != "" && len(l.variable) > len(best.variable) {
			lower, best = strings.ToLower(name), l
		}
	}
	if !queueName.MatchString(lower) || misspelled(section, rest, known) {
		return nil
	}
	return []fit{{[]string{section, lower}, best}}
}

// misspelled reports whether a variable that fits no key seems to be meant for a key within a
// section of a known queue. As in SLUICE_QUEUES_ORDERS_CONSUMER_IDEMPOTENCY_URL, its end can
// be that of a new queue's URL: orders would run without the store.
func misspelled(section, rest string, known []string) bool {
	for _, name := range known {
		key, ok := strings.CutPrefix(rest, variableOf(name)+"_")
		if !ok {
			continue
		}
		for _, c := range schema().child(section).of.children {
			if !c.leaf() && strings.HasPrefix(key, strings.ToUpper(c.key)+"_") {
				return true
			}
		}
	}
	return false
}

// variableOf returns a queue's name as the environment has it: in upper case, with
// an underscore in place of every other character than a letter or a digit.
func variableOf(queue string) string {
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

func nearestVariable(section, rest string, known []string, leaves []leaf) string {
	var all []string
	prefix := variablePrefix(section)
	for _, queue := range known {
		for _, l := range leaves {
			all = append(all, variableOf(queue)+"_"+l.variable)
		}
	}
	if len(all) == 0 {
		for _, l := range leaves {
			all = append(all, "NAME_"+l.variable)
		}
		return "known: " + prefix + strings.Join(all, ", "+prefix)
	}
	if remedy := didYouMean(rest, all); strings.HasPrefix(remedy, "did") {
		return strings.Replace(remedy, `"`, `"`+prefix, 1)
	}
	return "such as " + prefix + all[0]
}
