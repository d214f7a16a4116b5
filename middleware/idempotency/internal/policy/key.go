package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-go/sluice/handler"
)

// ErrNoKey is idempotency.ErrNoKey.
var ErrNoKey = errors.New("idempotency: the message has no key")

// MaxKey is the length of the longest key that a store is given, in bytes.
const MaxKey = 255

// ByDedupeID is idempotency.ByDedupeID.
func ByDedupeID(m *handler.Message) string {
	if m.DedupeID != "" {
		return m.DedupeID
	}
	return m.ID
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
