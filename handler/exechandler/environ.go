package exechandler

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/internal/tracecontext"
	"github.com/sluice-go/sluice/internal/attribute"
)

// leftOut is the variable that names the attributes that a command does not get,
// because the environment has no room for them.
const leftOut = "SLUICE_LEFT_OUT"

// environment is that of a command for a message, within the kernel's limit. bare is
// the same without the attributes.
func (h *Handler) environment(ctx context.Context, m *handler.Message) (env, bare []string) {
	bare = h.config.Env[:len(h.config.Env):len(h.config.Env)]
	var long []string
	add := func(name, value string) {
		v, ok := variable(name, value)
		if !ok {
			long = append(long, name)
			return
		}
		bare = append(bare, v)
	}
	addSet := func(name, value string) {
		if value != "" {
			add(name, value)
		}
	}
	add("SLUICE_MESSAGE_ID", m.ID)
	add("SLUICE_ATTEMPT", strconv.Itoa(m.Attempt))
	add("SLUICE_QUEUE", m.Origin().Queue)
	addSet("SLUICE_GROUP", m.Group)
	addSet("SLUICE_DEDUPE_ID", m.DedupeID)
	parent, state := tracecontext.Of(ctx, m)
	addSet("TRACEPARENT", parent)
	addSet("TRACESTATE", state)
	if len(m.Attributes) == 0 && long == nil {
		return bare, bare
	}
	names, shadows := attribute.Folded(m.Attributes, variableSuffix)
	h.dropped.Log(h.config.Logger, attribute.NotPassedOn, m.ID, shadows)
	env, missing := h.attributes(m, bare, names)
	if len(missing) > 0 {
		bare = append(bare, leftOut+"="+list(slices.Sorted(maps.Keys(m.Attributes))))
		env = append(env, leftOut+"="+list(missing))
	}
	h.truncated(m, append(long, missing...))
	return env, bare
}

// attributes adds the variables of m's attributes to bare, the short ones first, so that
// a long one takes the room of no other. It returns the names of those without a
// variable, sorted.
func (h *Handler) attributes(m *handler.Message, bare []string, names map[string]string) (env, missing []string) {
	room := h.limit - margin - size(h.words) - size(bare)
	env = bare[:len(bare):len(bare)]
	add := func(v string) bool {
		if room < cost(v) {
			return false
		}
		room -= cost(v)
		env = append(env, v)
		return true
	}
	suffixes := slices.SortedFunc(maps.Keys(names), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(m.Attributes[names[a]]), len(m.Attributes[names[b]])), cmp.Compare(a, b))
	})
	for _, suffix := range suffixes {
		if v, ok := variable("SLUICE_ATTR_"+suffix, m.Attributes[names[suffix]]); !ok || !add(v) {
			missing = append(missing, names[suffix])
		}
	}
	if passed, _ := attribute.Passed(m.Attributes); len(passed) > 0 {
		all, err := json.Marshal(passed) // strings always marshal
		if v, ok := variable("SLUICE_ATTRIBUTES", string(all)); err == nil && (!ok || !add(v)) {
			missing = append(missing, "*") // the object of all
		}
	}
	slices.Sort(missing)
	return env, missing
}

// margin is what is kept free of the kernel's limit: for the program's name, an
// interpreter's line, and the list of what is left out.
const margin = 16 << 10

// cost is what a string takes of the kernel's limit: itself, a NUL and a pointer.
func cost(s string) int { return len(s) + 9 }

func size(list []string) (n int) {
	for _, s := range list {
		n += cost(s)
	}
	return n
}

// list joins names with commas, up to a length.
func list(names []string) string {
	const longest = 2 << 10
	s := strings.ReplaceAll(strings.Join(names, ","), "\x00", string(utf8.RuneError))
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + ",..."
	}
	return s
}

// truncated logs, once a minute, what has no room in a command's environment.
func (h *Handler) truncated(m *handler.Message, names []string) {
	if len(names) == 0 {
		return
	}
	if missed, ok := h.long.Allow(time.Now(), time.Minute); ok {
		h.config.Logger.Warn("left out of the command's environment: too long",
			"message", m.ID, "names", names, "messages_before", missed)
	}
}

// longestVariable bounds an environment variable: the kernel refuses to start a
// program with a string of more than 128 KiB.
const longestVariable = 100 << 10

// variable returns an environment variable, or false where the value cannot be
// one. A NUL, which would end it, becomes the replacement character.
func variable(name, value string) (string, bool) {
	value = strings.ReplaceAll(value, "\x00", string(utf8.RuneError))
	if len(name)+len(value) > longestVariable {
		return "", false
	}
	return name + "=" + value, true
}

// variableSuffix is an attribute's name as an environment variable has it: in
// upper case, with an underscore for every other character than an ASCII letter
// or digit.
func variableSuffix(attribute string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, attribute)
}
