package exechandler

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/attribute"
	"github.com/sluice-go/sluice/internal/seldom"
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
	variables, dropped := attribute.Folded(m.Attributes, variableSuffix)
	for _, suffix := range slices.Sorted(maps.Keys(variables)) {
		add("SLUICE_ATTR_"+suffix, m.Attributes[variables[suffix]])
	}
	if passed, _ := attribute.Passed(m.Attributes); len(passed) > 0 {
		if all, err := json.Marshal(passed); err == nil { // strings always marshal
			add("SLUICE_ATTRIBUTES", string(all))
		}
	}
	shadowed(&h.dropped, h.config.Logger, m, dropped)
	return env
}

// shadowed logs, once a minute, that attributes are not passed on.
func shadowed(e *seldom.Event, log *slog.Logger, m *handler.Message, names []string) {
	if len(names) == 0 {
		return
	}
	if missed, ok := e.Allow(time.Now(), time.Minute); ok {
		log.Warn("attributes are not passed on: their names read like ones that another has, or that only the framework sets",
			"message", m.ID, "attributes", names, "messages_before", missed)
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
