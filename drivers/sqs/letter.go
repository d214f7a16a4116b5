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

// reject sends copies of messages to the dead-letter queue and then deletes the
// messages. One whose copy was sent but that could not be deleted is only
// deleted when it is rejected again.
func (s *Source) reject(ctx context.Context, op string, which []int, ss []drivers.Settlement, errs []error) {
	dlq := s.dlq()
	if dlq == nil {
		err := &drivers.Error{Code: drivers.Unsupported, Queue: s.name, Op: op, Err: errors.New("the queue has no dead-letter queue"),
			Remedy: "give it a redrive policy (sluice apply), or name one with dead_letter"}
		for _, i := range which {
			errs[i] = err
		}
		return
	}
	var es []*entry
	var at []int
	for _, i := range which {
		if s.letters.has(ss[i].Receipt) {
			continue
		}
		e, err := s.letter(dlq, &ss[i])
		if err != nil {
			errs[i] = err
			continue
		}
		es, at = append(es, e), append(at, i)
	}
	dlq.send(ctx, op, es, func(n int, _ *string, err error) {
		if errs[at[n]] = err; drivers.CodeOf(err) == drivers.NotFound {
			s.watch.doubt()
		}
	})
	done := make([]int, 0, len(which))
	for _, i := range which {
		if errs[i] == nil {
			done = append(done, i)
		}
	}
	s.delete(ctx, op, done, func(i int) *string { return &ss[i].Receipt }, errs)
	for _, i := range done {
		if errs[i] != nil && drivers.CodeOf(errs[i]) != drivers.LeaseLost {
			s.letters.add(ss[i].Receipt)
		} else {
			s.letters.remove(ss[i].Receipt)
		}
	}
}

// letter is the copy of a message that goes to the dead-letter queue. On a FIFO
// queue its deduplication ID is derived from the message, so that it comes there
// once however often it is sent within five minutes.
func (s *Source) letter(dlq *queue, r *drivers.Settlement) (*entry, error) {
	if r.Message == nil {
		return nil, s.invalid("settle", errors.New("a rejection without its message"), "")
	}
	m := *r.Message
	m.Delay = 0
	// What another program has sent was known by its message ID until now. The
	// letter has another.
	id := cmp.Or(m.DedupeID, m.ID, identity.New())
	dedupe := ""
	if dlq.fifo {
		dedupe = token(ownDedupe + "letter-" + m.ID)
	}
	// A letter that is too long with all that is known of the failure is sent
	// with less, and at last with nothing: it must not be stuck for that.
	for _, f := range []*drivers.Failure{r.Failure, letter.Cut(r.Failure), nil} {
		// The failure is packed if it does not fit in beside the identity and the
		// message's own attributes, whatever their number: the encoding sees to
		// theirs.
		m.Attributes = drivers.FailureAttributes(f, r.Message, s.name, max(maxNames-1, len(r.Message.Attributes)+1))
		e, err := dlq.encodeAs(&m, dedupe, id, true)
		if err != nil {
			return nil, err
		}
		if e.size <= dlq.maxBytes {
			return e, nil
		}
	}
	m.Attributes = r.Message.Attributes
	e, err := dlq.encodeAs(&m, dedupe, id, true)
	if err == nil && e.size > dlq.maxBytes {
		return dlq.encodeAs(&m, dedupe, id, false)
	}
	return e, err
}

// sentLetters are the receipts of messages whose copy is in the dead-letter
// queue and that could not be deleted yet.
type sentLetters struct {
	mu   sync.Mutex
	sent map[string]struct{}
}

// maxLetters bounds what is remembered of messages that never come to be
// deleted: a copy too many is better than a leak.
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
