package queue

// chunkSize is the number of entries that are allocated together.
const chunkSize = 256

// slab allocates entries, and finds one by its slot. Entries that are freed
// are used again.
type slab struct {
	chunks []*[chunkSize]entry
	free   *entry
	live   int
}

func (s *slab) get() *entry {
	if s.free == nil {
		c := new([chunkSize]entry)
		base := len(s.chunks) * chunkSize
		s.chunks = append(s.chunks, c)
		for i := chunkSize - 1; i >= 0; i-- {
			c[i].slot = uint32(base + i) // 2^32 entries do not fit in memory
			c[i].newer, s.free = s.free, &c[i]
		}
	}
	e := s.free
	s.free, e.newer = e.newer, nil
	s.live++
	return e
}

func (s *slab) put(e *entry) {
	body := e.body[:0]
	if cap(body) > arenaBody {
		body = nil
	}
	*e = entry{slot: e.slot, newer: s.free, body: body}
	s.free = e
	// The memory of a backlog that was worked off goes back.
	if s.live--; s.live == 0 && len(s.chunks) > 16 {
		*s = slab{}
	}
}

// find returns the entry in the slot if its latest delivery is that one.
func (s *slab) find(slot, delivery uint64) *entry {
	if delivery == 0 || slot >= uint64(len(s.chunks))*chunkSize {
		return nil
	}
	e := &s.chunks[slot/chunkSize][slot%chunkSize]
	if e.delivery != delivery {
		return nil
	}
	return e
}

// findAny returns the entry in the slot if the delivery is any of its own.
func (s *slab) findAny(slot, delivery uint64) *entry {
	if delivery == 0 || slot >= uint64(len(s.chunks))*chunkSize {
		return nil
	}
	e := &s.chunks[slot/chunkSize][slot%chunkSize]
	if delivery < e.begin || delivery > e.delivery {
		return nil
	}
	return e
}
