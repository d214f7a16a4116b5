package exechandler

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/tracecontext"
)

// environment is that of a command for a message.
func (h *Handler) environment(ctx context.Context, m *handler.Message) []string {
	env := h.config.Env[:len(h.config.Env):len(h.config.Env)]
	add := func(name, value string) {
		v, ok := variable(name, value)
		if !ok {
			h.config.Logger.Warn("left out of the command's environment: too long", "message", m.ID, "variable", name)
			return
		}
		env = append(env, v)
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
	// Sorted, so that of two names that become the same variable it is always
	// the same one that wins.
	for _, name := range slices.Sorted(maps.Keys(m.Attributes)) {
		add("SLUICE_ATTR_"+variableSuffix(name), m.Attributes[name])
	}
	if len(m.Attributes) > 0 {
		if all, err := json.Marshal(m.Attributes); err == nil { // strings always marshal
			add("SLUICE_ATTRIBUTES", string(all))
		}
	}
	return env
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
