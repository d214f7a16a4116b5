package consumer

// A hand counts the messages that the consumer holds: received and not settled.
// Every method runs in constant time but list and remove. It is guarded by
// Consumer.mu.
//
// Invariant: alive = ready + running + waiting + parked + unsettled, and one more
// while a suspect is chosen.
type hand struct {
	c      *Consumer
	newest *delivery // of the list of all deliveries in hand
	ready  ready
	// alive is the length of the list. running is the number of handlers at work;
	// waiting that of messages that wait for their group or to run alone.
	alive, running, waiting int
	bytes                   int // of the bodies of messages that wait or are parked

	// Receiving pauses while more messages than these wait for their group, and for
	// the provider to take their verdict. A receive may bring a whole batch of one
	// group, of which one has its turn.
	maxWaiting, maxUnsettled int
}

// Limits of the held messages. Receiving pauses at them. A message that was
// received before and is postponed then is parked all the same.
const (
	maxHand      = 10_000
	maxHandBytes = 64 << 20
)

// link adds a delivery. Consumer.mu is held.
func (h *hand) link(d *delivery) {
	d.next = h.newest
	if h.newest != nil {
		h.newest.prev = d
	}
	h.newest = d
	h.alive++
}

// unlink takes a delivery out. Consumer.mu is held.
func (h *hand) unlink(d *delivery) {
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		h.newest = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	}
	d.prev, d.next = nil, nil
	h.alive--
}

// remove takes out deliveries that are done, and wakes those who wait for room.
// Consumer.mu is not held.
func (h *hand) remove(ds ...*delivery) {
	if len(ds) == 0 {
		return
	}
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	for _, d := range ds {
		h.unlink(d)
	}
	if h.c.isolation.chosen != nil {
		h.c.workers.wake()
	}
	h.c.slots.grant()
	h.c.drain.signal()
}

// list returns the held deliveries. Consumer.mu is not held.
func (h *hand) list() []*delivery {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	ds := make([]*delivery, 0, h.alive)
	for d := h.newest; d != nil; d = d.next {
		ds = append(ds, d)
	}
	return ds
}

// empty reports whether no delivery is held. Consumer.mu is not held.
func (h *hand) empty() bool {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	return h.alive == 0
}

// beginWait counts a message that waits for its turn. Consumer.mu is held.
func (h *hand) beginWait(d *delivery) {
	h.waiting++
	h.bytes += len(d.body)
}

// endWait undoes beginWait. Consumer.mu is held.
func (h *hand) endWait(ds ...*delivery) {
	h.waiting -= len(ds)
	for _, d := range ds {
		h.bytes -= len(d.body)
	}
}

// unsettled returns how many messages wait for the provider to take their verdict.
// Consumer.mu is held.
func (h *hand) unsettled() int {
	n := h.alive - h.running - h.ready.len() - h.waiting - h.c.parking.parked
	if h.c.isolation.chosen != nil {
		n--
	}
	return max(n, 0)
}

// unstarted returns how many handlers are still to start before a drain is over.
// Consumer.mu is held.
func (h *hand) unstarted() int {
	n := h.ready.len() + h.waiting + h.c.parking.reruns
	if h.c.isolation.chosen != nil {
		n++
	}
	return n
}

// room returns how many more messages may be held: none while too many wait for
// their group, for their time, or for the provider to accept their verdict.
// Consumer.mu is held.
func (h *hand) room() int {
	return min(h.waitingRoom(), h.maxUnsettled-h.unsettled())
}

// waitingRoom is room without regard to the provider. Consumer.mu is held.
func (h *hand) waitingRoom() int {
	if h.bytes >= maxHandBytes || h.c.isolation.excludes() {
		return 0
	}
	return min(h.maxWaiting-h.waiting, maxHand-h.waiting-h.c.parking.reruns)
}
