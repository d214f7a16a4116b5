package sqstest

import (
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
)

// attemptWindow is how long a ReceiveRequestAttemptId can be used again.
const attemptWindow = 5 * time.Minute

// attempts remembers when the messages of a ReceiveRequestAttemptId were
// received first: a repeated receive restarts the leases but returns the same
// receipt handles, which contain that time.
type attempts struct {
	mu     sync.Mutex
	first  map[[2]string]attempt // by queue and ID
	pruned time.Time
}

type attempt struct {
	at       time.Time
	receipts []string
}

// received returns when the deliveries, which an attempt got at the given time,
// were received first.
func (a *attempts) received(name, id string, got []queue.Received, at time.Time) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := [2]string{name, id}
	if old, ok := a.first[k]; ok && slices.Contains(old.receipts, got[0].Receipt) {
		return old.at
	}
	if at.Sub(a.pruned) > attemptWindow {
		for k, old := range a.first {
			if at.Sub(old.at) > attemptWindow {
				delete(a.first, k)
			}
		}
		a.pruned = at
	}
	now := attempt{at: at}
	for i := range got {
		now.receipts = append(now.receipts, got[i].Receipt)
	}
	if a.first == nil {
		a.first = map[[2]string]attempt{}
	}
	a.first[k] = now
	return at
}
