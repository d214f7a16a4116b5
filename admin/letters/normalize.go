package letters

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/sluice-go/sluice/drivers"
)

// These marks stand for the parts of a reason that differ between failures of
// the same cause.
const (
	foldedQuote    = `"…"`
	foldedUUID     = "<uuid>"
	foldedTime     = "<time>"
	foldedDuration = "<duration>"
	foldedAddress  = "<address>"
	foldedHex      = "<hex>"
	foldedID       = "<id>"
	foldedNumber   = "#"
)

// variable finds the parts of a reason that differ between failures of the same cause. Of
// several alternatives that begin at the same place the first counts.
var variable = regexp.MustCompile(strings.Join([]string{
	`(?i)(?P<keep>\bHTTP/\d(?:\.\d)? \d{3}\b|\b(?:status|code|HTTP|errno|error|signal|SQLSTATE)[ :=]{1,2}\d{1,5}\b)`,
	`(?P<quote>"(?:[^"\\\n]|\\.)*"|` + "`[^`\n]*`" + `|“[^”\n]*”|«[^»\n]*»)`,
	`(?P<single>(?:^|[\s(\[{=:,])'[^'\n]*')`,
	`(?P<uuid>\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b)`,
	`(?P<time>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?Z\b| ?[+-]\d\d:?\d\d\b)?)?|\b\d{4}/\d\d/\d\d(?: \d\d:\d\d:\d\d(?:\.\d+)?)?|\b\d{1,2}:\d\d:\d\d(?:[.,]\d+)?)`,
	`(?P<address>\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\[[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\](?::\d+)?|\b(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{1,4}\b)`,
	`(?P<hex>\b0[xX][0-9a-fA-F]+\b)`,
	`(?P<duration>\b(?:\d+(?:\.\d+)?(?:ns|µs|us|ms|s|m|h|d))+\b)`,
	`(?P<number>\b\d+(?:[.,]\d+)+(?:[eE][+-]?\d+)?\b)`,
	`(?P<word>\b\w*\d\w*)`,
	`(?P<space>\s+)`,
}, "|"))

// parts are the names of variable's groups by their numbers.
var parts = variable.SubexpNames()

// normalize returns the pattern that the reasons of one cause have in common. It replaces
// quoted text, UUIDs, times, durations, network and mail addresses, hexadecimal numbers, IDs
// and other numbers, and makes one space of any white space. A number of up to five digits
// after a word such as "status", "code" or "HTTP" stays, because it is the cause. A
// reason is cut to [drivers.MaxReason] bytes. The result is valid UTF-8.
func normalize(reason string) string {
	if len(reason) > drivers.MaxReason {
		reason = reason[:drivers.MaxReason]
	}
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	var b strings.Builder
	end := 0
	for _, at := range variable.FindAllStringSubmatchIndex(reason, -1) {
		b.WriteString(reason[end:at[0]])
		end = at[1]
		for g := 1; g < len(parts); g++ {
			if at[2*g] >= 0 {
				b.WriteString(folded(parts[g], reason[at[0]:at[1]]))
				break
			}
		}
	}
	b.WriteString(reason[end:])
	return strings.TrimSpace(b.String())
}

// folded returns what takes the place of a part.
func folded(part, text string) string {
	switch part {
	case "quote":
		return foldedQuote
	case "single":
		return text[:strings.IndexByte(text, '\'')] + foldedQuote
	case "uuid":
		return foldedUUID
	case "time":
		return foldedTime
	case "address":
		return foldedAddress
	case "hex":
		return foldedHex
	case "duration":
		return foldedDuration
	case "number":
		return foldedNumber
	case "word":
		return foldWord(text)
	case "space":
		return " "
	default:
		return text
	}
}

// digits matches a run of digits.
var digits = regexp.MustCompile(`[0-9]+`)

// foldWord folds a word that has a digit: a number, a hexadecimal number of 8 digits or
// more, an ID of 10 characters or more in which letters and digits alternate, or a word with
// a number in it, such as sha256, of which the letters stay.
func foldWord(word string) string {
	runs := digits.FindAllString(word, -1)
	switch {
	case len(runs) == 1 && len(runs[0]) == len(word):
		return foldedNumber
	case len(word) >= 8 && isHex(word):
		return foldedHex
	case len(word) >= 10 && len(runs) > 1:
		return foldedID
	default:
		return digits.ReplaceAllString(word, foldedNumber)
	}
}

func isHex(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.Is(unicode.ASCII_Hex_Digit, r) }) < 0
}

// fold returns a character such that those that differ in case only are the same.
func fold(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }
