// Package identity makes identities for messages whose senders set no dedupe ID. An
// identity is made once, before the first try to send its message, and stays with the
// message through every queue, dead-letter queue and redrive. The receiver finds it in
// Message.DedupeID.
package identity

import (
	"crypto/rand"
	"strings"
)

// prefix begins every identity. Every provider allows its characters in a
// deduplication ID.
const prefix = "sluice-id-"

// length is the length of the rest, which is a [rand.Text].
const length = 26

// New returns a new identity.
func New() string { return prefix + rand.Text() }

// Made reports whether id was made by New, rather than set by a sender. A FIFO queue
// with content-based deduplication must not take it for the sender's.
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
