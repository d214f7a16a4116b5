package sqs

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/sluice-go/sluice/internal/sqstext"
)

// sendable reports whether SQS accepts s as a body or an attribute's value: text that
// is not empty.
func sendable[T string | []byte](s T) bool { return len(s) > 0 && sqstext.Valid(s) }

// nameable reports whether SQS accepts s as an attribute's name.
func nameable(s string) bool {
	const longest = 256
	if len(s) == 0 || len(s) > longest || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.') {
			return false
		}
	}
	return !hasPrefixFold(s, "aws.") && !hasPrefixFold(s, "amazon.")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// token returns s if SQS accepts it as a group ID or a deduplication ID, and a hash
// of s otherwise.
func token(s string) string {
	const longest = 128
	ok := len(s) <= longest
	for i := 0; ok && i < len(s); i++ {
		ok = s[i] > ' ' && s[i] < 0x7f
	}
	if ok {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
