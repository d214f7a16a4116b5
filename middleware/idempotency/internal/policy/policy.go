// Package policy carries out an idempotency.Config: which key a message has, what a
// duplicate is worth, when a store's failure is a retry. Both forms of the middleware
// share it, idempotency.New and sqlstore.Transactional.
package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/middleware/internal/storegate"
	"github.com/sluice-go/sluice/middleware/internal/unhandled"
)

// Policy has the fields of an idempotency.Config, which converts to it, and means the
// same by them. Its methods need one that [Complete] returned.
type Policy struct {
	Key          func(m *handler.Message) string
	Namespace    string
	RunKeyless   bool
	DoneTTL      time.Duration
	ClaimTTL     time.Duration
	RetryMax     time.Duration
	StoreTimeout time.Duration
	StoreName    string
	OnDuplicate  func(ctx context.Context, m *handler.Message, result []byte) error
	Observer     handler.Observer
	Logger       *slog.Logger
}

// Complete returns a copy of p, which may be nil, in which every field is set, or an
// error that names each field that is out of range.
func Complete(p *Policy) (Policy, error) {
	out := setting.Copy(p)
	if out.Key == nil {
		out.Key = ByDedupeID
	}
	out.Logger = invoke.Logger(out.Logger)
	if err := errors.Join(
		setting.Default("DoneTTL", &out.DoneTTL, 14*24*time.Hour),
		setting.Default("ClaimTTL", &out.ClaimTTL, time.Minute),
		setting.Default("RetryMax", &out.RetryMax, 30*time.Second),
		setting.Default("StoreTimeout", &out.StoreTimeout, 5*time.Second),
	); err != nil {
		return out, fmt.Errorf("idempotency: %w", err)
	}
	return out, nil
}

// StoreKey returns the key under which m is kept in a store: "" where m has none
// and RunKeyless is set, and [ErrNoKey] if it is not.
func (p *Policy) StoreKey(m *handler.Message) (string, error) {
	key := p.Key(m)
	switch {
	case key == "" && p.RunKeyless:
		return "", nil
	case key == "":
		return "", ErrNoKey
	case p.Namespace != "":
		return StoreKey(p.Namespace, key), nil
	default:
		return StoreKey(m.Origin().Queue, key), nil
	}
}

// Duplicate reports a message that was done to the observer and OnDuplicate, and
// returns the message's verdict.
func (p *Policy) Duplicate(ctx context.Context, m *handler.Message, result []byte) error {
	unhandled.Note(ctx)
	if p.Observer != nil {
		origin := m.Origin()
		_ = invoke.DoApart(func() { // what is done is done, whatever the observer does
			p.Observer.Observe(handler.Event{Kind: handler.EventDuplicate, Origin: &origin, Message: m})
		})
	}
	if p.OnDuplicate != nil {
		return p.OnDuplicate(ctx, m, result)
	}
	return nil
}

// Retry returns the verdict on a message for which the store fails though it
// answers for others: a retry with full jitter, which counts as an attempt.
func (p *Policy) Retry(err error) error {
	return handler.RetryAfter(time.Duration(mathrand.Float64()*float64(p.RetryMax)), err)
}

// NewGate returns an open gate for a store: it closes while the store does not
// answer. probe asks the store something that changes nothing.
func (p *Policy) NewGate(store any, probe func(ctx context.Context) error) *storegate.Gate {
	name := p.StoreName
	if s, ok := store.(fmt.Stringer); ok && name == "" {
		name = s.String()
	}
	if name == "" {
		name = fmt.Sprintf("%T", store)
	}
	return storegate.New(storegate.Config{
		Name: "idempotency store " + name, Probe: probe, Timeout: p.StoreTimeout, Logger: p.Logger, Observer: p.Observer,
	})
}
