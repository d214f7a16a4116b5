package queue_test

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
)

// model is what an engine should do, written to be read and not to be fast: a
// list of messages a queue, looked through from end to end each time.
type model struct {
	now    time.Time
	queues map[string]*modelQueue
	// deliveries counts deliveries, and stands in for receipts.
	deliveries int
}

type modelQueue struct {
	name     string
	config   queue.Config
	ms       []*modelMessage // in the order of sending
	seen     map[[2]string]modelSeen
	attempts map[string]modelAttempt
	sequence int
}

type modelMessage struct {
	id, body, group, source string
	exhausted               bool
	attributes              map[string]string
	enqueuedAt, visibleAt   time.Time
	sequence, receives      int
	delivery                int
	past                    []int // deliveries, the latest included
	earlier                 int   // receives in other queues; see Config.Lax
}

type modelSeen struct {
	id string
	at time.Time
}

type modelAttempt struct {
	at         time.Time
	ms         []*modelMessage
	deliveries []int
	visibleAt  []time.Time
}

// expire removes what is too old from all queues.
func (m *model) expire() {
	for _, q := range m.queues {
		q.ms = slices.DeleteFunc(q.ms, func(x *modelMessage) bool { return !x.enqueuedAt.Add(q.config.Retention).After(m.now) })
	}
}

func (m *model) hidden(x *modelMessage) bool { return x.visibleAt.After(m.now) }

func (m *model) send(name string, ms []queue.Message) (ids []string) {
	q := m.queues[name]
	for _, x := range ms {
		scope := ""
		if q.config.DedupePerGroup {
			scope = x.Group
		}
		key := [2]string{scope, x.DedupeID}
		if q.config.DedupeWindow > 0 && x.DedupeID != "" {
			if s, ok := q.seen[key]; ok && s.at.Add(q.config.DedupeWindow).After(m.now) {
				ids = append(ids, s.id)
				continue
			}
			q.seen[key] = modelSeen{x.ID, m.now}
		}
		delay := x.Delay
		if delay < 0 {
			delay = q.config.Delay
		}
		q.add(&modelMessage{
			id: x.ID, body: string(x.Body), group: x.Group, attributes: x.Attributes,
			enqueuedAt: m.now, visibleAt: m.now.Add(delay),
		})
		ids = append(ids, x.ID)
	}
	return ids
}

func (q *modelQueue) add(x *modelMessage) {
	q.sequence++
	x.sequence = q.sequence
	q.ms = append(q.ms, x)
}

func (q *modelQueue) remove(x *modelMessage) {
	q.ms = slices.DeleteFunc(q.ms, func(y *modelMessage) bool { return x == y })
}

// unit is what is received from: a single message, or the front of a group.
type unit struct {
	at       time.Time
	sequence int
	ms       []*modelMessage
}

// units lists what can be received, the earliest first.
func (m *model) units(q *modelQueue) []*unit {
	groups := map[string][]*modelMessage{}
	var out []*unit
	for _, x := range q.ms {
		switch {
		case q.config.Ordered && x.group != "":
			groups[x.group] = append(groups[x.group], x)
		case !m.hidden(x):
			out = append(out, &unit{x.visibleAt, x.sequence, []*modelMessage{x}})
		}
	}
	for _, ms := range groups {
		u := &unit{at: ms[0].visibleAt, sequence: ms[0].sequence}
		leased, front := false, !q.config.Lax
		for _, x := range ms {
			if x.delivery > 0 {
				leased = leased || m.hidden(x)
				if front && x.visibleAt.After(u.at) {
					u.at = x.visibleAt
				}
			} else {
				front = false
			}
		}
		for _, x := range ms {
			if m.hidden(x) {
				break
			}
			u.ms = append(u.ms, x)
		}
		if (!leased || q.config.Lax) && len(u.ms) > 0 {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b *unit) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.sequence, b.sequence))
	})
	return out
}

func (m *model) receive(name string, r queue.ReceiveRequest) []*modelMessage {
	q := m.queues[name]
	visibility := r.Visibility
	if visibility < 0 {
		visibility = q.config.Visibility
	}
	if a, ok := q.attempts[r.AttemptID]; ok && r.AttemptID != "" && a.at.Add(5*time.Minute).After(m.now) && m.untouched(q, a) {
		for i, x := range a.ms {
			x.visibleAt = m.now.Add(visibility)
			a.visibleAt[i] = x.visibleAt
		}
		return a.ms
	}
	var taken []*modelMessage
	take := func(x *modelMessage) {
		letters := m.queues[q.config.DeadLetter]
		if q.config.MaxReceives > 0 && x.receives >= q.config.MaxReceives && letters != nil {
			m.deadLetter(q, letters, x, x.attributes).exhausted = true
			return
		}
		taken = append(taken, x)
	}
	units := m.units(q)
	for _, u := range units {
		before := len(taken)
		for len(u.ms) > 0 && len(taken) < r.Max && (!r.Spread || len(taken) == before) {
			take(u.ms[0])
			u.ms = u.ms[1:]
		}
	}
	for more := r.Spread; more; {
		more = false
		for _, u := range units {
			before := len(taken)
			for len(u.ms) > 0 && len(taken) < r.Max && len(taken) == before {
				take(u.ms[0])
				u.ms = u.ms[1:]
				more = true
			}
		}
	}
	for _, x := range taken {
		m.deliveries++
		x.receives++
		x.delivery = m.deliveries
		x.past = append(x.past, x.delivery)
		x.visibleAt = m.now.Add(visibility)
	}
	if r.AttemptID != "" && len(taken) > 0 {
		a := modelAttempt{at: m.now, ms: taken}
		for _, x := range taken {
			a.deliveries = append(a.deliveries, x.delivery)
			a.visibleAt = append(a.visibleAt, x.visibleAt)
		}
		q.attempts[r.AttemptID] = a
	}
	return taken
}

func (m *model) untouched(q *modelQueue, a modelAttempt) bool {
	for i, x := range a.ms {
		if !slices.Contains(q.ms, x) || x.delivery != a.deliveries[i] || !x.visibleAt.Equal(a.visibleAt[i]) || !m.hidden(x) {
			return false
		}
	}
	return true
}

func (m *model) deadLetter(q, letters *modelQueue, x *modelMessage, attributes map[string]string) *modelMessage {
	q.remove(x)
	enqueuedAt := x.enqueuedAt
	if q.config.Ordered {
		enqueuedAt = m.now
	}
	letter := &modelMessage{
		id: x.id, body: x.body, group: x.group, attributes: maps.Clone(attributes), source: q.name,
		enqueuedAt: enqueuedAt, visibleAt: m.now,
	}
	if q.config.Lax {
		letter.earlier = x.earlier + x.receives
	}
	letters.add(letter)
	return letter
}

// find returns the message whose latest delivery it is.
func (q *modelQueue) find(delivery int) *modelMessage {
	for _, x := range q.ms {
		if x.delivery == delivery && delivery > 0 {
			return x
		}
	}
	return nil
}

func (m *model) delete(name string, delivery int) error {
	q := m.queues[name]
	x := q.find(delivery)
	if x == nil {
		return queue.ErrReceipt
	}
	q.remove(x)
	return nil
}

func (m *model) change(name string, delivery int, by time.Duration) error {
	q := m.queues[name]
	x := q.find(delivery)
	if q.config.Lax && !q.config.Ordered {
		if i := slices.IndexFunc(q.ms, func(x *modelMessage) bool { return slices.Contains(x.past, delivery) }); i >= 0 {
			q.ms[i].visibleAt = m.now.Add(max(by, 0))
			return nil
		}
	}
	if x == nil || !m.hidden(x) {
		return queue.ErrReceipt
	}
	x.visibleAt = m.now.Add(max(by, 0))
	return nil
}

func (m *model) release(name string, delivery int, by time.Duration) error {
	x := m.queues[name].find(delivery)
	if x == nil {
		return queue.ErrReceipt
	}
	x.receives--
	m.deliveries++
	x.delivery = m.deliveries // nobody has a receipt of it
	if m.hidden(x) && by >= 0 {
		x.visibleAt = m.now.Add(by)
	}
	return nil
}

func (m *model) reject(name string, delivery int, attributes map[string]string) error {
	q := m.queues[name]
	x := q.find(delivery)
	if x == nil {
		return queue.ErrReceipt
	}
	letters := m.queues[q.config.DeadLetter]
	if letters == nil {
		return queue.ErrNoDeadLetter
	}
	m.deadLetter(q, letters, x, attributes)
	return nil
}

// move moves what a task moves, and returns how many, and whether it failed.
func (m *model) move(from, to string) (moved int, failed bool) {
	q := m.queues[from]
	for _, x := range slices.Clone(q.ms) {
		if m.hidden(x) {
			continue
		}
		if q.config.Ordered && x.group != "" {
			blocked := false
			for _, y := range q.ms {
				if y.group == x.group {
					blocked = blocked || y.delivery > 0 && m.hidden(y) && !q.config.Lax || y.sequence < x.sequence
				}
			}
			if blocked {
				continue
			}
		}
		name := to
		if name == "" {
			name = x.source
		}
		if name == "" || m.queues[name] == nil || name == from {
			return moved, true
		}
		q.remove(x)
		id := x.id
		if q.config.Lax {
			id = "" // a new one
		}
		m.queues[name].add(&modelMessage{
			id: id, body: x.body, group: x.group, attributes: x.attributes, enqueuedAt: m.now, visibleAt: m.now,
		})
		moved++
	}
	return moved, false
}

func (m *model) stats(name string) queue.Stats {
	var s queue.Stats
	for _, x := range m.queues[name].ms {
		switch {
		case !m.hidden(x):
			s.Visible++
		case x.delivery > 0:
			s.InFlight++
		default:
			s.Delayed++
		}
		if s.Oldest.IsZero() || x.enqueuedAt.Before(s.Oldest) {
			s.Oldest = x.enqueuedAt
		}
	}
	return s
}
