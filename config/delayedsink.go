package config

import (
	"errors"
	"io"

	"github.com/sluice-go/sluice/drivers"
)

// A delayedSink owns the database of its delays.
type delayedSink struct {
	drivers.Sink
	db io.Closer
}

// Close closes the sink, then the database.
func (s *delayedSink) Close() error { return errors.Join(s.Sink.Close(), s.db.Close()) }
