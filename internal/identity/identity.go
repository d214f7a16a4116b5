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

// length is the length of the rest, which is as a [rand.Text]: 130 random bits.
const length = 26

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// New returns a new identity. It allocates only the string.
func New() string {
	var b [len(prefix) + length]byte
	random := b[copy(b[:], prefix):]
	_, _ = rand.Read(random) // it never fails
	for i, c := range random {
		random[i] = alphabet[c%32]
	}
	return string(b[:])
}

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
