package embedded

import (
	"context"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/queue"
)

// A Target is a queue of an engine, to be opened.
type Target struct {
	Engine queue.Engine
	Queue  string
	// System is OpenTelemetry's messaging.system.
	System string
	// Classify returns the code of an error of the store, and its remedy. Nil
	// means that all are transient.
	Classify func(err error) (drivers.Code, string)
	// Release is called once for each source and sink that was opened and is
	// closed. Nil does nothing.
	Release func() error
}

// OpenSource opens the queue for receiving and creates it if it does not exist.
func (t Target) OpenSource(ctx context.Context, c *Config) (*Source, error) {
	o, err := t.open(ctx, c)
	if err != nil {
		return nil, err
	}
	s := &Source{opened: o}
	s.closing, s.end = context.WithCancel(context.WithoutCancel(ctx))
	return s, nil
}

// OpenSink opens the queue for sending and creates it if it does not exist.
func (t Target) OpenSink(ctx context.Context, c *Config) (*Sink, error) {
	o, err := t.open(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Sink{opened: o}, nil
}

// open creates the queue if it does not exist.
func (t Target) open(ctx context.Context, c *Config) (*opened, error) {
	o := &opened{Target: t}
	var err error
	o.config, err = prepare(ctx, t.Engine, t.Queue, c)
	if err != nil {
		return nil, o.fail(ctx, "open", err)
	}
	return o, nil
}
