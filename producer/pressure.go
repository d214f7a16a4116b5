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
	"github.com/sluice-go/sluice/internal/setting"
)

// Pressure holds senders back while a queue is too deep: from the moment at
// which High messages wait in it until they are Low or fewer.
type Pressure struct {
	// Inspector tells the depth: usually the queue's source. It is required.
	// Where it does not know how many messages are visible, senders are never
	// held back, and that is logged.
	Inspector drivers.Inspector

	// High is the number of visible messages from which the queue is
	// overloaded. It is required. Low is the number at which it no longer is;
	// zero means four fifths of High.
	High, Low int64

	// Every is how often the depth is asked for. Zero means
	// 5 seconds. What is sent in between is not counted: choose High
	// with room for it.
	Every time.Duration

	// Overload is what happens to messages meanwhile. The zero value blocks.
	Overload Overload

	// Priority ranks a message, for Shed: those below Floor are refused while
	// the queue is overloaded. Nil ranks every message zero.
	Priority func(m *handler.Message) int
	Floor    int
}

// Overload says what happens to messages that are sent to an overloaded queue.
type Overload uint8

// The ways to deal with overload.
const (
	// Block has Send wait until the queue is no longer overloaded, or its
	// context is done.
	Block Overload = iota
	// Refuse fails messages with [ErrOverloaded].
	Refuse
	// Shed refuses messages whose priority is below Floor and sends the others.
	Shed
)

// complete returns a copy of p with its defaults, and its faults.
func (p *Pressure) complete() (Pressure, error) {
	d := *p
	high := max(d.High, 0)
	return d, errors.Join(
		setting.Refuse(d.Inspector == nil, "Pressure.Inspector is nil"),
		setting.Positive("Pressure.High", d.High),
		setting.Range("Pressure.Low", &d.Low, 0, high, high*4/5),
		setting.Default("Pressure.Every", &d.Every, 5*time.Second),
		setting.Refuse(d.Overload > Shed, "Pressure.Overload is %d: it must be Block, Refuse or Shed", d.Overload),
		setting.Refuse(d.Overload == Shed && d.Priority == nil, "Pressure.Overload is Shed, but Pressure.Priority is nil"),
	)
}

// gauge watches a queue's depth.
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

// look asks once. While the depth cannot be had the state stays as it is.
func (g *gauge) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Every)
	defer cancel()
	var (
		d   drivers.Depth
		err error
	)
	// The inspector may be the user's own, and end the goroutine it is called on.
	if gone := invoke.DoApart(func() { d, err = g.cfg.Inspector.Depth(ctx) }); gone != nil {
		err = gone
	}
	if err == nil && d.Visible == drivers.Unknown {
		err = errors.New("the provider does not tell how many messages are visible")
	}
	for _, n := range g.take(d.Visible, invoke.Safe(err)) {
		g.all.log(n.level, n.text, n.args...)
	}
}

// news is what is to be logged.
type news struct {
	level slog.Level
	text  string
	args  []any
}

// take takes in the number of visible messages, or why it is not known. The
// error is a safe one.
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

// admit lets a message through, or holds it back.
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
			return ErrOverloaded // the producer closes: it waits for no one
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrOverloaded, ctx.Err())
		}
	}
}

// shed refuses a message whose priority is below the floor.
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
