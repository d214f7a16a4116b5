package consumer

import "slices"

// ready are the deliveries that can run, those of sources of a higher priority first, and
// of one priority in the order in which their turn came. It is guarded by Consumer.mu.
type ready struct {
	levels []fifo[*delivery] // by source.level
	n      int
}

// newReady returns an empty queue for the sources, whose levels it sets.
func newReady(sources []*source) ready {
	var priorities []int
	for _, s := range sources {
		priorities = append(priorities, s.priority)
	}
	slices.Sort(priorities)
	priorities = slices.Compact(priorities)
	for _, s := range sources {
		at, _ := slices.BinarySearch(priorities, s.priority)
		s.level = len(priorities) - 1 - at
	}
	return ready{levels: make([]fifo[*delivery], len(priorities))}
}

func (r *ready) len() int { return r.n }

func (r *ready) push(d *delivery) {
	r.levels[d.source.level].push(d)
	r.n++
}

// pop removes and returns the first delivery. The queue must not be empty.
func (r *ready) pop() *delivery {
	r.n--
	i := 0
	for r.levels[i].len() == 0 {
		i++
	}
	return r.levels[i].pop()
}

// removeBehind removes a delivery if at least n others come before it and may says so.
// It reports whether it did.
func (r *ready) removeBehind(n int, d *delivery, may func() bool) bool {
	if r.n <= n {
		return false
	}
	for i := range d.source.level {
		n -= r.levels[i].len()
	}
	level := &r.levels[d.source.level]
	place := level.behind(max(n, 0), d)
	if place < 0 || !may() {
		return false
	}
	level.remove(place)
	r.n--
	return true
}

// takeAll removes and returns all deliveries.
func (r *ready) takeAll() []*delivery {
	var all []*delivery
	for i := range r.levels {
		all = append(all, r.levels[i].takeAll()...)
	}
	r.n = 0
	return all
}
