package queue

import "maps"

// An arena copies bodies for a batch, small ones into memory that they share:
// they are used and dropped together.
type arena struct{ free []byte }

const arenaBody = 2 << 10

// arenaNeeds is how much of an arena a copy of b takes.
func arenaNeeds(b []byte) int {
	if len(b) > arenaBody {
		return 0
	}
	return len(b)
}

func (a *arena) copy(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if len(b) > arenaBody || len(b) > len(a.free) {
		return append(make([]byte, 0, len(b)), b...)
	}
	c := a.free[:len(b):len(b)]
	a.free = a.free[len(b):]
	copy(c, b)
	return c
}

// own replaces m's memory by copies.
func (a *arena) own(m *Message) {
	m.Body, m.Extra = a.copy(m.Body), a.copy(m.Extra)
	if len(m.Attributes) == 0 {
		m.Attributes = nil
	} else {
		m.Attributes = maps.Clone(m.Attributes)
	}
}
