// Package attribute has the rule for the names of attributes: which are the
// framework's own, and which names of a sender read like them.
//
// A sender may give an attribute any name. Programs that a message is handed to
// do not all compare names byte by byte: environment variables and HTTP headers
// lose case and punctuation, JSON decoders fold case by Unicode's rules, and
// configuration binders drop separators. So a sender's "sns_topic_arn" can take
// the place of the framework's "sns-topic-arn". The rule is:
//
//   - A name that the framework vouches for is spelled in one way: lower-case
//     ASCII with hyphens. [Reserved] reports it.
//   - A name that differs from a reserved one, and that any reader might take for
//     it, is a look-alike. [LookAlike] reports it.
//   - Drivers carry look-alikes as they are: they are the sender's data. Whatever
//     hands a message on to a reader that folds names leaves them out, and logs it.
//   - If two of the sender's own names fold into one, the last in the order of
//     their bytes wins, each time.
//
// traceparent, tracestate, baggage, content-type, the dedupe ID and the group are
// the sender's by nature. The framework carries them and vouches for none.
package attribute

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Kind is the attribute that has a message's kind, which package route reads.
const Kind = "type"

// ownPrefix begins the names that drivers, dead letters and redrives set.
const ownPrefix = "sluice-"

// vouched are the other names that the framework sets.
var vouched = [...]string{"sns-message-id", "sns-timestamp", "sns-subject", "sns-topic-arn"}

// squeezedOwn are the beginnings of the own names, without separators.
var squeezedOwn = [...]string{
	"sluicebody", "sluicecloud", "sluicededupe", "sluicedeadletter", "sluiceempty", "sluiceesc", "sluicegroup", "sluiceidentity", "sluicemore", "sluiceredrive",
}

// Reserved reports whether name is one that the framework sets, spelled as the
// framework spells it.
func Reserved(name string) bool {
	return strings.HasPrefix(name, ownPrefix) || slices.Contains(vouched[:], name)
}

// LookAlike reports whether name is not reserved, and some reader takes it for a
// name that is: it differs in case, in separators, or in characters that fold to
// ASCII letters, such as U+017F, U+212A and the fullwidth forms.
func LookAlike(name string) bool {
	if Reserved(name) {
		return false
	}
	if plain(name) {
		return false
	}
	hyphened, squeezed := fold(name)
	if strings.HasPrefix(hyphened, ownPrefix) {
		return true
	}
	for _, v := range squeezedOwn {
		if strings.HasPrefix(squeezed, v) {
			return true
		}
	}
	for _, v := range vouched {
		if squeezed == strings.ReplaceAll(v, "-", "") || hyphened == v {
			return true
		}
	}
	return false
}

// plain reports whether name can't be a look-alike, cheaply: most names begin
// with an ASCII letter or digit that begins no reserved name.
func plain(name string) bool {
	if name == "" {
		return true
	}
	c := name[0]
	return c != 's' && c != 'S' && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9')
}

// fold returns name in lower-case ASCII, with a hyphen between what other
// characters separate, and the same without the hyphens.
func fold(name string) (hyphened, squeezed string) {
	var h, s strings.Builder
	gap := false
	for _, r := range name {
		c := ascii(r)
		if c == 0 {
			gap = h.Len() > 0
			continue
		}
		if gap {
			h.WriteByte('-')
			gap = false
		}
		h.WriteByte(c)
		s.WriteByte(c)
	}
	return h.String(), s.String()
}

// ascii is the lower-case ASCII letter or digit that r may be folded to, 0 if
// there is none.
func ascii(r rune) byte {
	if r >= 0xFF01 && r <= 0xFF5E { // fullwidth forms
		r -= 0xFEE0
	}
	for _, c := range [...]rune{r, unicode.ToLower(r), unicode.ToLower(unicode.ToUpper(r)), unicode.ToLower(unicode.SimpleFold(r))} {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return byte(c)
		}
	}
	return 0
}

// Passed returns the attributes without look-alikes, and the names of those that
// were left out, sorted. The map is the given one if there are none.
func Passed(attributes map[string]string) (passed map[string]string, dropped []string) {
	for name := range attributes {
		if LookAlike(name) {
			dropped = append(dropped, name)
		}
	}
	if dropped == nil {
		return attributes, nil
	}
	passed = maps.Clone(attributes)
	for _, name := range dropped {
		delete(passed, name)
	}
	slices.Sort(dropped)
	return passed, dropped
}

// Folded returns the names of the attributes, each under the name that it folds
// to, and sorted the names that lose: look-alikes, and those of the sender's own
// names that fold into the same one as a later one does. A reserved name never
// loses.
func Folded(attributes map[string]string, fold func(name string) string) (winners map[string]string, dropped []string) {
	winners = make(map[string]string, len(attributes))
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if LookAlike(name) {
			dropped = append(dropped, name)
			continue
		}
		to := fold(name)
		if before, taken := winners[to]; taken {
			if Reserved(before) && !Reserved(name) {
				dropped = append(dropped, name)
				continue
			}
			dropped = append(dropped, before)
		}
		winners[to] = name
	}
	slices.Sort(dropped)
	return winners, dropped
}
