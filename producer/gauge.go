package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// A gauge watches a queue's depth.
type gauge struct {
	cfg   *Pressure
	all   *Config
	queue string
	done  chan struct{} // closed by close

	mu    sync.Mutex
	over  chan struct{} // closed when the queue is no longer overloaded; nil while it is not
	blind bool          // the depth is not known
}

func newGauge(cfg *Config, queue string) *gauge {
	return &gauge{cfg: cfg.Pressure, all: cfg, queue: queue, done: make(chan struct{})}
}

// watch asks for the depth until the gauge is closed or ctx is done.
func (g *gauge) watch(ctx context.Context) {
	tick := time.NewTicker(g.cfg.Every)
	defer tick.Stop()
	for {
		g.look(ctx)
		select {
		case <-tick.C:
		case <-g.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// look reads the depth once. If it fails, the state is unchanged.
func (g *gauge) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Every)
	defer cancel()
	var (
		d   drivers.Depth
		err error
	)
	// The inspector may be the user's, and may end its goroutine.
	if gone := invoke.DoApart(func() { d, err = g.cfg.Inspector.Depth(ctx) }); gone != nil {
		err = gone
	}
	if err == nil && d.Visible == drivers.Unknown {
		err = errors.New("the provider does not report the number of visible messages")
	}
	for _, n := range g.take(d.Visible, invoke.Safe(err)) {
		g.all.log(n.level, n.text, n.args...)
	}
}

// A news is a line to log.
type news struct {
	level slog.Level
	text  string
	args  []any
}

// take takes the number of visible messages, or the error of reading it, whose
// methods must be safe to call. It returns the lines to log.
func (g *gauge) take(visible int64, err error) (out []news) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if (err != nil) != g.blind {
		g.blind = err != nil
		if g.blind {
			out = append(out, news{slog.LevelWarn, "the queue's depth is not known: pressure stays as it is",
				[]any{"queue", g.queue, "overloaded", g.over != nil, "error", err}})
		} else {
			out = append(out, news{slog.LevelInfo, "the queue's depth is known again", []any{"queue", g.queue}})
		}
	}
	switch {
	case err != nil:
	case g.over == nil && visible >= g.cfg.High:
		g.over = make(chan struct{})
		out = append(out, news{slog.LevelWarn, "the queue is overloaded", []any{"queue", g.queue, "visible", visible, "high", g.cfg.High}})
	case g.over != nil && visible <= g.cfg.Low:
		close(g.over)
		g.over = nil
		out = append(out, news{slog.LevelInfo, "the queue is no longer overloaded", []any{"queue", g.queue, "visible", visible, "low", g.cfg.Low}})
	}
	return out
}

func (g *gauge) overloaded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.over != nil
}

// admit returns nil once a message may be sent, and an error if it must not.
func (g *gauge) admit(ctx context.Context, m *handler.Message) error {
	for {
		g.mu.Lock()
		over := g.over
		g.mu.Unlock()
		switch {
		case over == nil:
			return nil
		case g.cfg.Overload == Shed:
			return g.shed(m)
		case g.cfg.Overload != Block:
			return ErrOverloaded
		}
		select {
		case <-over:
		case <-g.done:
			return ErrOverloaded // the producer is closing
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrOverloaded, ctx.Err())
		}
	}
}

// shed returns ErrOverloaded if the message's priority is below the floor.
func (g *gauge) shed(m *handler.Message) error {
	priority := 0
	if p := invoke.Do(func() { priority = g.cfg.Priority(m) }); p != nil {
		return fmt.Errorf("priority: %w", p)
	}
	if priority < g.cfg.Floor {
		return ErrOverloaded
	}
	return nil
}

func (g *gauge) close() { close(g.done) }
