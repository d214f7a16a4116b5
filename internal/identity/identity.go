// Package identity makes identities for messages whose senders gave no dedupe
// ID. An identity is made once, before the first try to send its message, and
// goes with the message through every queue, dead-letter queue and redrive: the
// receiver finds it in Message.DedupeID.
package identity

import (
	"crypto/rand"
	"strings"
)

// prefix begins every identity. It has no character that a provider would
// refuse in a deduplication ID.
const prefix = "sluice-id-"

// length is that of the text that follows, which is [rand.Text].
const length = 26

// New returns an identity that no other message has.
func New() string { return prefix + rand.Text() }

// Made reports whether id is an identity that New has made, rather than the
// dedupe ID of a sender. A FIFO queue with content-based deduplication must not
// take it for the sender's.
func Made(id string) bool {
	rest, ok := strings.CutPrefix(id, prefix)
	if !ok || len(rest) != length {
		return false
	}
	for i := range len(rest) {
		if c := rest[i]; (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}
