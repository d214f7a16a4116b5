package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// ErrURL is in the error of a URL of a store that can never be opened as it is: a scheme
// or parameter that is not known, a part that is missing.
var ErrURL = errors.New("invalid control store URL")

// Opened is a store that was opened by its URL, and the resources to close after use.
type Opened struct {
	Store
	io.Closer
}

// A Store keeps a text for each queue. Its methods may be called concurrently, also by
// several processes, and return when ctx is done. Callers use [Read] and [Update].
type Store interface {
	// Load returns the texts by queue. A store that nothing was ever written to has none:
	// Load returns nil then, without an error. Load writes nothing.
	Load(ctx context.Context) (map[string]string, error)
	// Swap replaces the text of a queue by another if it is old, and reports whether it
	// was. An old text of "" means that the queue has none.
	Swap(ctx context.Context, queue, old, text string) (bool, error)
	// String names the store in logs and errors, without secrets.
	String() string
}

// Read returns the states of the given queues, or of all queues in the store if none is
// given. A queue without a state has the zero State. The error of a state that can't be
// read names the store and the queue.
func Read(ctx context.Context, s Store, queues ...string) (map[string]State, error) {
	texts, err := s.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("control store %s: %w", s, err)
	}
	if len(queues) == 0 {
		queues = slices.Sorted(maps.Keys(texts))
	}
	states := make(map[string]State, len(queues))
	var faults []error
	for _, q := range queues {
		text, ok := texts[q]
		if !ok {
			states[q] = State{}
			continue
		}
		state, err := parse(text)
		if err != nil {
			faults = append(faults, unreadable(s, q, err))
			continue
		}
		states[q] = state
	}
	return states, errors.Join(faults...)
}

func unreadable(s Store, queue string, err error) error {
	return fmt.Errorf("control store %s: the state of queue %q can't be read: %w (remove it from the store to begin anew)", s, queue, err)
}

// maxSwaps is how many times Update tries while others change the same queue.
const maxSwaps = 20

// Update changes the state of a queue and returns the new one. Updates of one queue take
// place one after the other: change is called again, with the state that another has
// written meanwhile, if need be.
func Update(ctx context.Context, s Store, queue string, change func(*State)) (State, error) {
	for range maxSwaps {
		texts, err := s.Load(ctx)
		if err != nil {
			return State{}, fmt.Errorf("control store %s: %w", s, err)
		}
		var state State
		old, ok := texts[queue]
		if ok {
			if state, err = parse(old); err != nil {
				return State{}, unreadable(s, queue, err)
			}
		}
		change(&state)
		text, err := state.format()
		if err != nil {
			return State{}, fmt.Errorf("control of queue %q: %w", queue, err)
		}
		switch swapped, err := s.Swap(ctx, queue, old, text); {
		case err != nil:
			return State{}, fmt.Errorf("control store %s: %w", s, err)
		case swapped:
			return state, nil
		}
	}
	return State{}, fmt.Errorf("control store %s: the state of queue %q changed during each of %d attempts", s, queue, maxSwaps)
}
