package config

import (
	"fmt"
	"strings"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/nearest"
)

// The keys that are not attributes.
const (
	// ByDedupeID is a message's dedupe ID, or its message ID if it has none.
	ByDedupeID Key = "dedupe_id"
	// ByGroup is a message's group.
	ByGroup Key = "group"
)

const attributePrefix = "attribute:"

// A Key names the part of a message that distinguishes it, or its kind, from others: [ByDedupeID],
// [ByGroup], or "attribute:" and the name of an attribute. The empty Key selects nothing.
type Key string

// parseKey reads a key that is one of the named ones or an attribute.
func parseKey(s string, named ...Key) (Key, error) {
	if name, ok := strings.CutPrefix(s, attributePrefix); ok && name != "" {
		return Key(s), nil
	}
	known := make([]string, 0, len(named)+1)
	for _, k := range named {
		if s == string(k) {
			return k, nil
		}
		known = append(known, string(k))
	}
	if n := nearest.Of(s, known); n != "" {
		return "", fmt.Errorf("%q is not a key: did you mean %q?", s, n)
	}
	name := s
	if name == "" {
		name = "NAME"
	}
	return "", fmt.Errorf("%q is not a key: write %s%s for an attribute (known besides: %s)", s, attributePrefix, strings.TrimPrefix(name, attributePrefix), strings.Join(known, ", "))
}

// Of returns the key's value in m, "" if m has none.
func (k Key) Of(m *handler.Message) string {
	if name, ok := strings.CutPrefix(string(k), attributePrefix); ok {
		return m.Attributes[name]
	}
	switch k {
	case ByGroup:
		return m.Group
	case ByDedupeID:
		if m.DedupeID != "" {
			return m.DedupeID
		}
		return m.ID
	default:
		return ""
	}
}
