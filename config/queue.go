package config

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"regexp"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// A Queue is one queue of the configuration, or one that is known by its URL
// only.
type Queue struct {
	// Name is the name in the configuration; of a queue known by its URL only,
	// the URL without secrets.
	Name string
	// Source and Sink are the URLs for receiving and for sending. One of them
	// can be empty.
	Source, Sink string
	// Configured is false if the queue is known by its URL only. Spec is then
	// empty.
	Configured bool
	// Spec describes the queue as it is wanted.
	Spec provision.Spec
	// Consumer says how the queue is consumed. Nil if the configuration does not.
	Consumer *Consumer

	store *delayStore // nil if no delay can go by a table
}

// Retries returns how consumers space retries: the values of the section
// consumer.retry, and those of the section retry, which Pub/Sub goes by too. A value
// that neither gives is zero.
func (q *Queue) Retries() Retry {
	var r Retry
	if q.Consumer != nil && q.Consumer.Retry != nil {
		r = *q.Consumer.Retry
	}
	if own := q.Spec.Retry; own != nil {
		r.Min, r.Max = cmp.Or(r.Min, own.Min), cmp.Or(r.Max, own.Max)
	}
	return r
}

// URL returns a URL of the queue when it does not matter which: the one for
// receiving, if there is one.
func (q *Queue) URL() string {
	if q.Source != "" {
		return q.Source
	}
	return q.Sink
}

// OpenSource opens a queue for receiving, with the driver of mux that its URL
// names. A nil logger discards the driver's warnings.
func (q *Queue) OpenSource(ctx context.Context, mux *drivers.Mux, log *slog.Logger) (drivers.Source, error) {
	if q.Source == "" {
		return nil, q.lacks("receiving", "source")
	}
	u, err := q.withSpec(mux, q.Source)
	if err != nil {
		return nil, err
	}
	return mux.OpenSource(ctx, u, q.options(log))
}

// OpenSink opens a queue for sending, with the driver of mux that its URL names.
// A nil logger discards the driver's warnings.
//
// If the configuration has a delay_store, messages with a delay that the provider cannot
// give are written to its table, and a relay sends them when they are due (package outbox).
// The queue gets them as first attempts. Closing the sink closes the table's database.
func (q *Queue) OpenSink(ctx context.Context, mux *drivers.Mux, log *slog.Logger) (drivers.Sink, error) {
	if q.Sink == "" {
		return nil, q.lacks("sending", "sink")
	}
	u, err := q.withSpec(mux, q.Sink)
	if err != nil {
		return nil, err
	}
	sink, err := mux.OpenSink(ctx, u, q.options(log))
	if err != nil || q.store == nil {
		return sink, err
	}
	return q.store.delayed(ctx, sink, q.Name)
}

// withSpec returns the URL that makes the queue as configured when it is opened,
// if its driver makes queues so. Any other URL is returned unchanged.
func (q *Queue) withSpec(mux *drivers.Mux, rawURL string) (string, error) {
	opener, u, err := mux.Opener(rawURL)
	if err != nil {
		return rawURL, nil //nolint:nilerr // opening the URL reports it
	}
	maker, ok := opener.(provision.SpecOpener)
	if !ok || !q.Configured {
		return rawURL, nil
	}
	if u, err = maker.WithSpec(u, &q.Spec); err != nil {
		return "", err
	}
	return u.String(), nil
}

func (q *Queue) lacks(what, key string) error {
	return &drivers.Error{Code: drivers.Invalid, Queue: q.Name, Op: "open", Err: fmt.Errorf("the configuration has no URL for %s", what),
		Remedy: fmt.Sprintf("set queues.%s.%s or queues.%s.url", q.Name, key, q.Name)}
}

func (q *Queue) options(log *slog.Logger) *drivers.Options {
	o := &drivers.Options{Logger: log}
	if d := q.Spec.DeadLetter; d != nil {
		o.DeadLetter = d.Name
	}
	return o
}

// schemePattern is what a URL begins with, by RFC 3986. A queue's name cannot
// have a colon in it.
var schemePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// IsURL reports whether s is a queue's URL and not a queue's name.
func IsURL(s string) bool { return schemePattern.MatchString(s) }
