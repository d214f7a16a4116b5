package letters

import (
	"slices"
	"time"
)

// A Filter selects letters: those that meet all of its fields. The zero Filter selects all
// letters. It must not be changed while it is used.
type Filter struct {
	// IDs are the message IDs of the wanted letters. Empty means any.
	IDs []string
	// Attributes must all be there, each with this value. Empty means any.
	Attributes map[string]string
	// Reasons are patterns, of which one must match the whole reason of a letter, ignoring
	// case. In a pattern, * matches any text, ? one character, and \ quotes the next
	// character. Empty means any.
	Reasons []string
	// Kinds are the wanted kinds, the values of the attribute "type". Empty means any.
	Kinds []string
	// Groups are the IDs of wanted [Groups]. Empty means any.
	Groups []string
	// Since and Until bound when a letter failed last, as [Letter.At] says: not before
	// Since, and before Until. Zero means no bound.
	Since, Until time.Time
	// Queue is the queue that a letter must have come from, for a dead-letter queue
	// that serves several. Empty means any.
	Queue string
	// Where is called with each letter that meets the other fields. Nil selects all of
	// them. It must not keep the letter or change it.
	Where func(Letter) bool
}

// IsZero reports whether the filter selects all letters.
func (f *Filter) IsZero() bool { return f.byID() && len(f.IDs) == 0 }

// OnlyIDs reports whether the filter selects by message ID alone, so that a search can end
// when it has found each.
func (f *Filter) OnlyIDs() bool { return f.byID() && len(f.IDs) > 0 }

// byID reports whether no field but IDs selects.
func (f *Filter) byID() bool {
	return len(f.Attributes) == 0 && len(f.Reasons) == 0 && len(f.Kinds) == 0 && len(f.Groups) == 0 &&
		f.Since.IsZero() && f.Until.IsZero() && f.Queue == "" && f.Where == nil
}

// Matches reports whether the filter selects a letter.
func (f *Filter) Matches(l Letter) bool {
	if len(f.IDs) > 0 && !slices.Contains(f.IDs, l.Message.ID) {
		return false
	}
	for name, value := range f.Attributes {
		if got, ok := l.Message.Attributes[name]; !ok || got != value {
			return false
		}
	}
	if len(f.Kinds) > 0 && !slices.Contains(f.Kinds, l.Kind) {
		return false
	}
	if f.Queue != "" && l.Queue != f.Queue {
		return false
	}
	at := l.At()
	if !f.Since.IsZero() && at.Before(f.Since) || !f.Until.IsZero() && !at.Before(f.Until) {
		return false
	}
	if len(f.Reasons) > 0 && !slices.ContainsFunc(f.Reasons, func(pattern string) bool { return glob(pattern, l.Reason) }) {
		return false
	}
	if len(f.Groups) > 0 && !slices.Contains(f.Groups, l.Group()) {
		return false
	}
	return f.Where == nil || f.Where(l)
}

// glob reports whether pattern matches the whole of text, ignoring case. In a pattern, *
// stands for any characters, ? for one, and \ takes the meaning from the next one. It takes
// time in proportion to the product of their lengths at most.
func glob(pattern, text string) bool {
	p, t := []rune(pattern), []rune(text)
	// Invariant: p[:i] matches t[:j]. If that fails further on, the latest star takes
	// one more character: the earlier ones need not change.
	i, j, star, taken := 0, 0, -1, 0
	for j < len(t) {
		if i < len(p) && p[i] == '*' {
			star, taken = i, j
			i++
			continue
		}
		if n := one(p[i:], t[j]); n > 0 {
			i += n
			j++
			continue
		}
		if star < 0 {
			return false
		}
		taken++
		i, j = star+1, taken
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// one returns how many characters of a pattern match one character, 0 if they do not. p
// does not begin with a star.
func one(p []rune, c rune) int {
	switch {
	case len(p) == 0:
		return 0
	case p[0] == '?':
		return 1
	case p[0] == '\\' && len(p) > 1:
		if fold(p[1]) == fold(c) {
			return 2
		}
		return 0
	case fold(p[0]) == fold(c):
		return 1
	}
	return 0
}
