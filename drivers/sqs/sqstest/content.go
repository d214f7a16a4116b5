package sqstest

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-go/sluice/internal/sqstext"
)

// The limits of a message.
const (
	maxMessageSize   = 1 << 20 // of a message and of a batch, in bytes
	maxAttributes    = 10
	maxAttributeName = 256
	maxAttributeType = 256
	maxNumberDigits  = 38
	maxDelaySeconds  = 900
	traceHeaderName  = "AWSTraceHeader"
)

// An attribute is a message attribute: the transport type (string or binary)
// and the type that the sender gave it, such as "Number.int".
type attribute struct {
	name     string
	dataType string
	value    []byte
	binary   bool // Binary and its custom types; the others are strings
	listed   bool // the sender used a list value, which SQS refuses
	hasText  bool
	hasBytes bool
}

func isType(dataType, prefix string) bool {
	rest, ok := strings.CutPrefix(dataType, prefix)
	return ok && (rest == "" || rest[0] == '.')
}

// size is what it counts for in a message's size.
func (a *attribute) size() int { return len(a.name) + len(a.dataType) + len(a.value) }

func sizeOf(body []byte, attributes []attribute) int {
	n := len(body)
	for i := range attributes {
		n += attributes[i].size()
	}
	return n
}

const allowedRunes = "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"

func checkBody(body []byte) *apiError {
	if len(body) == 0 {
		return missing("MessageBody")
	}
	if u, bad := sqstext.Bad(body); bad {
		return fault(codeInvalidMessageContents,
			"Invalid binary character '#x%X' was found in the message body, the set of allowed characters is %s", u, allowedRunes)
	}
	return nil
}

func checkAttributes(attributes []attribute) *apiError {
	if len(attributes) > maxAttributes {
		return invalidParameter("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(attributes), maxAttributes)
	}
	for i := range attributes {
		if err := attributes[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func (a *attribute) check() *apiError {
	if err := checkAttributeName(a.name); err != nil {
		return err
	}
	if a.dataType == "" {
		return invalidParameter("The message attribute '%s' must contain a non-empty attribute type.", a.name)
	}
	if len(a.dataType) > maxAttributeType {
		return invalidParameter("Message (user) attribute types must be shorter than %d bytes.", maxAttributeType+1)
	}
	number := isType(a.dataType, "Number")
	if !a.binary && !number && !isType(a.dataType, "String") {
		return invalidParameter("The type of message (user) attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", a.name)
	}
	if a.listed {
		return fault(codeUnsupportedOperation, "Message attribute list values in SendMessage operation are not supported.")
	}
	if a.hasText && a.hasBytes || a.binary && a.hasText || !a.binary && a.hasBytes {
		return invalidParameter("The message (user) attribute '%s' has type '%s', and a value of another type.", a.name, a.dataType)
	}
	if len(a.value) == 0 {
		return invalidParameter("Message (user) attribute '%s' must contain a non-empty value of type '%s'.", a.name, a.dataType)
	}
	if a.binary {
		return nil
	}
	if u, bad := sqstext.Bad(a.value); bad {
		return invalidParameter("Invalid binary character '#x%X' was found in the message attribute '%s' value, the set of allowed characters is %s", u, a.name, allowedRunes)
	}
	if number && !validNumber(string(a.value)) {
		return invalidParameter("Can't cast the value of message (user) attribute '%s' to a number.", a.name)
	}
	return nil
}

func checkAttributeName(name string) *apiError {
	if name == "" || len(name) > maxAttributeName {
		return invalidParameter("Message (user) attribute names must be 1 to %d characters long.", maxAttributeName)
	}
	for i, c := range name {
		switch {
		case c == '_', c == '-', '0' <= c && c <= '9', c != utf8.RuneError && unicode.IsLetter(c): // beyond ASCII, too
		case c == '.' && i > 0 && i < len(name)-1 && name[i-1] != '.':
		default:
			return invalidParameter("Message (user) attribute name '%s' is invalid: it can contain letters, digits, underscores, hyphens and periods, no period first, last or twice in a row.", name)
		}
	}
	if lower := strings.ToLower(name); strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") {
		return invalidParameter("Message (user) attribute name '%s' is invalid: names that begin with 'AWS.' or 'Amazon.' are reserved.", name)
	}
	return nil
}

// validNumber accepts decimal numbers of up to 38 digits.
func validNumber(s string) bool {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && f == 0 {
		return false
	}
	digits := 0
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digits++
		case c == 'e' || c == 'E':
			return digits <= maxNumberDigits
		case c == '+' || c == '-' || c == '.':
		default: // hexadecimal, Inf, NaN and digit separators, which ParseFloat takes
			return false
		}
	}
	return digits <= maxNumberDigits
}

// checkSystemAttributes allows the one system attribute that can be sent, the
// X-Ray trace header, and returns it.
func checkSystemAttributes(attributes []attribute) (trace string, err *apiError) {
	for i := range attributes {
		a := &attributes[i]
		switch {
		case a.name != traceHeaderName:
			return "", invalidParameter("Message system attribute name '%s' is invalid: only %s can be sent.", a.name, traceHeaderName)
		case a.dataType != "String" || !a.hasText || len(a.value) == 0:
			return "", invalidParameter("Message system attribute '%s' must contain a non-empty value of type 'String'.", a.name)
		}
		if _, bad := sqstext.Bad(a.value); bad {
			return "", invalidParameter("The message system attribute '%s' holds a character outside %s.", a.name, allowedRunes)
		}
		trace = string(a.value)
	}
	return trace, nil
}

// checkID is the rule for group IDs, deduplication IDs and attempt IDs.
func checkID(id, parameter string) *apiError {
	ok := id != "" && len(id) <= 128
	for i := 0; ok && i < len(id); i++ {
		ok = '!' <= id[i] && id[i] <= '~'
	}
	if !ok {
		return invalidParameter("Value %s for parameter %s is invalid. Reason: %s can only include alphanumeric and punctuation characters. 1 to 128 in length.", id, parameter, parameter)
	}
	return nil
}
