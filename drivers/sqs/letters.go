package sqs

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/identity"
	"github.com/sluice-go/sluice/internal/letter"
)

// letters sends copies of rejected messages to the dead-letter queue of a queue.
type letters struct {
	*queue
	watch *watch
	sent  sentLetters
}

// send sends a letter for each settlement at the indices in which, and returns the
// indices of those whose letters are in the dead-letter queue. It does not send a
// letter again that it has sent for a message that could not be deleted. The
// caller deletes the messages and calls deleted.
func (l *letters) send(ctx context.Context, op string, which []int, ss []drivers.Settlement, errs []error) []int {
	dlq := l.watch.dlq()
	if dlq == nil {
		err := l.noDeadLetter(op)
		for _, i := range which {
			errs[i] = err
		}
		return nil
	}
	var es []*entry
	var at []int
	for _, i := range which {
		if l.sent.has(ss[i].Receipt) {
			continue
		}
		e, err := l.letter(dlq, &ss[i])
		if err != nil {
			errs[i] = err
			continue
		}
		es, at = append(es, e), append(at, i)
	}
	sender{dlq}.send(ctx, op, es, func(n int, _ *string, err error) {
		if errs[at[n]] = err; drivers.CodeOf(err) == drivers.NotFound {
			l.watch.doubt()
		}
	})
	done := make([]int, 0, len(which))
	for _, i := range which {
		if errs[i] == nil {
			done = append(done, i)
		}
	}
	return done
}

// deleted records the result of deleting the messages whose letters were sent.
func (l *letters) deleted(which []int, ss []drivers.Settlement, errs []error) {
	for _, i := range which {
		if errs[i] != nil && drivers.CodeOf(errs[i]) != drivers.LeaseLost {
			l.sent.add(ss[i].Receipt)
		} else {
			l.sent.remove(ss[i].Receipt)
		}
	}
}

// letter returns the copy of a message that goes to the dead-letter queue. On a
// FIFO queue its deduplication ID is derived from the message, so that the queue
// gets it once however often it is sent within five minutes.
func (l *letters) letter(dlq *queue, r *drivers.Settlement) (*entry, error) {
	if r.Message == nil {
		return nil, l.invalid("settle", errors.New("a rejection needs the delivered message"), "")
	}
	m := *r.Message
	m.Delay = 0
	// A message of another program was identified by its message ID until now, and
	// the letter has another one.
	id := cmp.Or(m.DedupeID, m.ID, identity.New())
	dedupe := ""
	if dlq.fifo {
		dedupe = token(ownDedupe + "letter-" + m.ID)
	}
	// A letter must not be stuck because it is too large: it is sent with fewer
	// details of the failure, and finally with none.
	for _, f := range []*drivers.Failure{r.Failure, letter.Cut(r.Failure), nil} {
		// The failure is packed if it does not fit beside the identity and the
		// message's own attributes, however many these are: the encoder handles
		// their number.
		m.Attributes = drivers.FailureAttributes(f, r.Message, l.name, max(maxNames-1, len(r.Message.Attributes)+1))
		e, err := encoder{dlq}.encodeAs(&m, dedupe, id, true)
		if err != nil {
			return nil, err
		}
		if e.size <= dlq.maxBytes {
			return e, nil
		}
	}
	m.Attributes = r.Message.Attributes
	e, err := encoder{dlq}.encodeAs(&m, dedupe, id, true)
	if err == nil && e.size > dlq.maxBytes {
		return encoder{dlq}.encodeAs(&m, dedupe, id, false)
	}
	return e, err
}

// sentLetters holds the receipts of messages whose letters are in the dead-letter
// queue and that could not be deleted yet.
type sentLetters struct {
	mu   sync.Mutex
	sent map[string]struct{}
}

// maxLetters bounds the memory for messages that are never deleted: a duplicate
// letter is better than a leak.
const maxLetters = 10_000

func (l *sentLetters) has(receipt string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.sent[receipt]
	return ok
}

func (l *sentLetters) add(receipt string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sent == nil || len(l.sent) >= maxLetters {
		l.sent = make(map[string]struct{})
	}
	l.sent[receipt] = struct{}{}
}

func (l *sentLetters) remove(receipt string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sent, receipt)
}
