package queue

import "github.com/sluice-go/sluice/internal/queue/internal/store"

// An attempt is a receive that can be repeated.
type attempt struct {
	at         int64
	deliveries []attemptDelivery
}

type attemptDelivery struct {
	slot, delivery uint64
	visibleAt      int64
}

// attempts are the receives of a queue that can be repeated. The zero attempts
// has none. The log has their IDs in the order in which they came first.
type attempts struct {
	byID map[string]attempt
	log  fifo[string]
}

// find returns the receive with the ID if it can still be repeated.
func (a *attempts) find(id string, now int64) (attempt, bool) {
	found, ok := a.byID[id]
	return found, ok && store.Later(found.at, store.AttemptWindow) > now
}

// keep records the messages of a receive.
func (a *attempts) keep(id string, taken []*entry, now int64) {
	kept := attempt{at: now, deliveries: make([]attemptDelivery, len(taken))}
	for i, e := range taken {
		kept.deliveries[i] = attemptDelivery{uint64(e.slot), e.delivery, e.visibleAt}
	}
	if a.byID == nil {
		a.byID = map[string]attempt{}
	}
	if _, ok := a.byID[id]; !ok {
		a.log.push(id)
	}
	a.byID[id] = kept
}

// forget drops receives that cannot be repeated any more.
func (a *attempts) forget(now int64) {
	for id := a.log.front(); id != nil; id = a.log.front() {
		if kept := a.byID[*id]; store.Later(kept.at, store.AttemptWindow) > now {
			return
		}
		delete(a.byID, *id)
		a.log.pop()
	}
}
