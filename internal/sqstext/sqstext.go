// Package sqstext has the rule for the text of an SQS message, once for the driver,
// for the server that stands in for SQS in tests, and for the claim check that
// measures what the driver will send.
package sqstext

import "unicode/utf8"

// Bad returns the first character of s that SQS refuses in bodies and attributes, and
// whether there is one. SQS accepts the characters of XML 1.0 in UTF-8: U+0009,
// U+000A, U+000D, U+0020 to U+D7FF, U+E000 to U+FFFD and U+10000 to U+10FFFF. A byte
// that begins no UTF-8 is utf8.RuneError.
//
// See https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func Bad[T string | []byte](s T) (rune, bool) {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
				return rune(c), true
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		if r == utf8.RuneError && n == 1 || r == 0xFFFE || r == 0xFFFF {
			return r, true
		}
		i += n
	}
	return 0, false
}

// Valid reports whether SQS accepts all characters of s. It refuses an empty body and
// an empty value for another reason.
func Valid[T string | []byte](s T) bool {
	_, bad := Bad(s)
	return !bad
}
