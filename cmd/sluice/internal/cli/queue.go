package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
)

// config loads the configuration, once.
func (a *app) config() (*config.Config, error) {
	if a.loaded == nil {
		c, err := config.Load(&config.Options{Files: a.files})
		if err != nil {
			return nil, err
		}
		a.loaded = c
	}
	return a.loaded, nil
}

// queue finds a queue by its name or its URL.
func (a *app) queue(nameOrURL string) (*config.Queue, error) {
	c, err := a.config()
	if err != nil {
		// A queue given as a URL needs no configuration, but a wrong one must
		// not pass unnoticed: its values would have been meant to count.
		return nil, err
	}
	return c.Queue(nameOrURL)
}

// source opens a queue for receiving.
func (a *app) source(ctx context.Context, nameOrURL string) (*config.Queue, drivers.Source, error) {
	q, err := a.queue(nameOrURL)
	if err != nil {
		return nil, nil, err
	}
	s, err := q.OpenSource(ctx, a.mux, a.log)
	if err != nil {
		return nil, nil, opening(err)
	}
	return q, s, nil
}

// sink opens a queue for sending.
func (a *app) sink(ctx context.Context, nameOrURL string) (*config.Queue, drivers.Sink, error) {
	q, err := a.queue(nameOrURL)
	if err != nil {
		return nil, nil, err
	}
	s, err := q.OpenSink(ctx, a.mux, a.log)
	if err != nil {
		return nil, nil, opening(err)
	}
	return q, s, nil
}

// label is what results call a queue: its name in the configuration, or the
// provider's if it was given as a URL.
func label(q *config.Queue, c drivers.Capabilities) string {
	if q.Configured || c.Queue == "" {
		return q.Name
	}
	return c.Queue
}

// close closes a source or a sink, and adds what went wrong to a command's
// error.
func closing(c interface{ Close() error }, err *error) {
	if fault := c.Close(); fault != nil {
		*err = errors.Join(*err, fmt.Errorf("close: %w", fault))
	}
}

// ability returns a source's optional interface, or an error that says that its
// provider lacks it.
func ability[T any](s drivers.Source, op string) (T, error) {
	t, ok := s.(T)
	if !ok {
		c := s.Capabilities()
		return t, &drivers.Error{Code: drivers.Unsupported, Queue: c.Queue, Op: op,
			Err: fmt.Errorf("the driver for %s cannot do it", c.System)}
	}
	return t, nil
}
