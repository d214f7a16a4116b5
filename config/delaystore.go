package config

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/outbox"
)

// A delayStore is the table that delay_store names.
type delayStore struct {
	url    string
	origin Origin
	open   func(ctx context.Context, url string) (*outbox.Table, io.Closer, error)
}

// table opens the table. It does as much IO as the program's function does: none, usually.
func (s *delayStore) table(ctx context.Context) (*outbox.Table, io.Closer, error) {
	at := "delay_store"
	if text := s.origin.String(); text != "" {
		at += " (" + text + ")"
	}
	if s.open == nil {
		return nil, nil, fmt.Errorf("%s: %w", at, &drivers.Error{Code: drivers.Invalid, Op: "open",
			Err: errors.New("this program opens no tables"), Remedy: "set config.Options.OpenTable, or service.Options.OpenTable if package service loads the configuration, usually to URL of package outbox/opentable"})
	}
	t, db, err := s.open(ctx, s.url)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", at, err)
	}
	if t == nil || db == nil {
		return nil, nil, fmt.Errorf("%s: config.Options.OpenTable returned no table", at)
	}
	return t, db, nil
}

// delayed returns a sink that sends to sink, and by the table what sink's queue cannot
// delay. name is by which a relay opens the queue. It closes sink if it fails.
func (s *delayStore) delayed(ctx context.Context, sink drivers.Sink, name string) (drivers.Sink, error) {
	if sink.Capabilities().MaxSendDelay == drivers.Unlimited {
		return sink, nil
	}
	t, db, err := s.table(ctx)
	if err != nil {
		return nil, errors.Join(err, sink.Close())
	}
	d, err := outbox.Delayed(sink, t, name)
	if err != nil {
		return nil, errors.Join(err, db.Close(), sink.Close())
	}
	return &delayedSink{Sink: d, db: db}, nil
}
