package letters

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"time"
)

// A Group is letters of one cause: of the same kind, and with the same pattern of reasons.
type Group struct {
	// ID is made of kind and pattern, so that it is the same in each dead-letter queue
	// and at any time. It begins with "g".
	ID string
	// Kind is the letters' kind. Pattern is what their reasons have in common, with a mark
	// such as # or <uuid> in place of each number, ID, time, address and quoted text.
	Kind, Pattern string
	// Count is the number of letters.
	Count int64
	// First and Last are when the earliest and the latest of them failed, as
	// [Letter.At] says.
	First, Last time.Time
	// MinAttempts and MaxAttempts are the fewest and the most attempts of a letter, of
	// those that are known. Both are zero if none is.
	MinAttempts, MaxAttempts int
	// ExampleID and Example are the message ID and the reason of the latest letter.
	ExampleID, Example string
}

// Groups puts letters into groups. The zero Groups has none. It keeps no letter.
type Groups struct {
	byID map[string]*Group
}

// Add adds a letter to its group.
func (g *Groups) Add(l Letter) {
	pattern := normalize(l.Reason)
	id := groupID(l.Kind, pattern)
	at := l.At()
	group := g.byID[id]
	if group == nil {
		if g.byID == nil {
			g.byID = make(map[string]*Group)
		}
		group = &Group{ID: id, Kind: l.Kind, Pattern: pattern, First: at, MinAttempts: l.Attempts}
		g.byID[id] = group
	}
	group.Count++
	if at.Before(group.First) {
		group.First = at
	}
	if !at.Before(group.Last) {
		group.Last, group.ExampleID, group.Example = at, l.Message.ID, l.Reason
	}
	if l.Attempts > 0 {
		if group.MinAttempts == 0 || l.Attempts < group.MinAttempts {
			group.MinAttempts = l.Attempts
		}
		group.MaxAttempts = max(group.MaxAttempts, l.Attempts)
	}
}

// Sorted returns the groups, those with the most letters first.
func (g *Groups) Sorted() []Group {
	out := make([]Group, 0, len(g.byID))
	for _, group := range slices.Collect(maps.Values(g.byID)) {
		out = append(out, *group)
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.Last.Compare(a.Last), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func groupID(kind, pattern string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + pattern))
	return "g" + hex.EncodeToString(sum[:4])
}
