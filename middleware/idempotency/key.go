package idempotency

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-go/sluice/handler"
)

// MaxKey is the length of the longest key that a [Store] is given, in bytes.
const MaxKey = 255

// ByDedupeID is the default key: the message's DedupeID, or the message ID if it is
// empty.
//
// DedupeID is the sender's dedupe ID, or the identity that package producer gave
// the message before its first try. It is the same in every redelivery, for every
// try of the producer, in the dead-letter queue and after a redrive.
//
// It is empty if a program without Sluice sent the message without one (on a FIFO
// queue with content-based deduplication too). The message ID is then the same in
// every redelivery, and in the letters and the selective redrives of Sluice. It is
// another if that program sends the message again, after a native redrive of SQS
// and in what Pub/Sub itself forwards to a dead-letter topic: the work is then done
// again. For such messages use [ByAttribute], or a function of the body that finds
// what the job is about.
func ByDedupeID(m *handler.Message) string {
	if m.DedupeID != "" {
		return m.DedupeID
	}
	return m.ID
}

// ByAttribute returns a key function that takes the value of an attribute. A
// message without it has no key.
func ByAttribute(name string) func(*handler.Message) string {
	return func(m *handler.Message) string { return m.Attributes[name] }
}

// StoreKey returns the key under which a store keeps namespace and key. Two
// different pairs have different keys: the namespace's length comes first, and
// what a store might not carry (too long, control characters, invalid UTF-8) is
// replaced by its SHA-256, which cannot be taken for the other form.
func StoreKey(namespace, key string) string {
	k := strconv.Itoa(len(namespace)) + ":" + namespace + ":" + key
	if len(k) <= MaxKey && plain(k) {
		return k
	}
	sum := sha256.Sum256([]byte(k))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func plain(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return false
		}
	}
	return true
}
