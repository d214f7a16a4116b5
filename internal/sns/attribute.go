package sns

import (
	"maps"
	"slices"
	"strings"

	"github.com/sluice-go/sluice/internal/attribute"
)

// The attributes that hold the notification's own fields in an unwrapped message.
const (
	AttributeMessageID = "sns-message-id"
	AttributeTimestamp = "sns-timestamp"
	AttributeSubject   = "sns-subject"
	AttributeTopic     = "sns-topic-arn"
)

// Shadowed is the log message for attributes that are dropped.
const Shadowed = "SNS: attributes of the publisher are dropped: their names are reserved"

// OwnNames returns the names of the attributes that are one of the four that this
// package sets, or read like one, sorted.
func OwnNames(attributes map[string]string) []string {
	var names []string
	for name := range attributes {
		if !strings.HasPrefix(name, "sluice-") && (attribute.Reserved(name) || attribute.LookAlike(name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Without returns a copy of the attributes that lacks the given names.
func Without(attributes map[string]string, names []string) map[string]string {
	out := maps.Clone(attributes)
	for _, name := range names {
		delete(out, name)
	}
	return out
}
