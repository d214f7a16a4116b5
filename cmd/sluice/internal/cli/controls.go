package cli

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/middleware/control"
)

// controls reads and changes the states of queues for a program that stays up: it keeps
// the control stores open. Its methods may be called concurrently.
type controls struct {
	command *controlCommand
	queues  []config.Queue

	mu   sync.Mutex
	open map[string]*control.Opened // by key
}

// key names the control store of a queue; "" if it has none.
func (s *controls) key(q *config.Queue) string {
	conf, err := s.command.config()
	if err != nil {
		return ""
	}
	switch url := cmp.Or(s.command.url, conf.Service().Control); {
	case url == config.Off:
		return ""
	case url != "":
		return url
	case q.Consumer == nil || q.Consumer.Idempotency == nil || !keepsControl(q.Consumer.Idempotency.Store):
		return ""
	default:
		return q.Consumer.Idempotency.Store
	}
}

// find returns a queue by its name, or nil.
func (s *controls) find(queue string) *config.Queue {
	for i := range s.queues {
		if s.queues[i].Name == queue {
			return &s.queues[i]
		}
	}
	return nil
}

// Has reports whether a queue has a control store.
func (s *controls) Has(queue string) bool {
	q := s.find(queue)
	return q != nil && s.key(q) != ""
}

// store returns the control store of a queue, and opens it if it is not open.
func (s *controls) store(ctx context.Context, q *config.Queue) (control.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.key(q)
	if store := s.open[key]; store != nil {
		return store, nil
	}
	store, err := s.command.store(ctx, q)
	if err != nil {
		return nil, err
	}
	if s.open == nil {
		s.open = make(map[string]*control.Opened)
	}
	s.open[key] = store
	return store, nil
}

// States returns the states of all queues that have a control store.
func (s *controls) States(ctx context.Context) (map[string]control.State, error) {
	byKey := make(map[string][]*config.Queue)
	for i := range s.queues {
		q := &s.queues[i]
		if key := s.key(q); key != "" {
			byKey[key] = append(byKey[key], q)
		}
	}
	states := make(map[string]control.State)
	var faults []error
	for _, queues := range byKey {
		store, err := s.store(ctx, queues[0])
		if err != nil {
			faults = append(faults, err)
			continue
		}
		names := make([]string, len(queues))
		for i, q := range queues {
			names[i] = q.Name
		}
		read, err := control.Read(ctx, store, names...)
		faults = append(faults, err)
		for name, state := range read {
			states[name] = state
		}
	}
	return states, errors.Join(faults...)
}

// Change changes the state of a queue and returns the new one.
func (s *controls) Change(ctx context.Context, queue string, change func(*control.State)) (control.State, error) {
	q := s.find(queue)
	if q == nil {
		return control.State{}, errors.New("there is no queue " + queue)
	}
	store, err := s.store(ctx, q)
	if err != nil {
		return control.State{}, err
	}
	return control.Update(ctx, store, queue, change)
}

// Close closes the stores.
func (s *controls) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var faults []error
	for _, store := range s.open {
		faults = append(faults, store.Close())
	}
	s.open = nil
	return errors.Join(faults...)
}
