package breaker

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/sluice-go/sluice/internal/invoke"
)

// The methods of this file are called with mu held, except notify.

// room says how many of want messages may come in now.
func (b *Breaker) room(want int) int {
	switch b.state {
	case Closed:
		return want
	case HalfOpen:
		if !b.checked {
			if !b.checking {
				b.checking = true
				go b.check(b.era)
			}
			return 0
		}
		return min(want, b.config.Probes-b.succeeded-b.probing)
	default:
		return 0
	}
}

// remaining is in how long a refused message may try again: once the breaker is no
// longer open, and then spread over the length of a pause.
func (b *Breaker) remaining() (left, pause time.Duration) {
	return max(time.Until(b.until), 0), b.pause
}

// count takes the outcome of a message of this era into account.
func (b *Breaker) count(probe bool, o outcome, err error, spread float64) {
	if probe {
		b.probing--
		switch o {
		case success:
			if b.succeeded++; b.succeeded >= b.config.Probes {
				b.pause = 0
				b.counts.clear()
				b.change(Closed, nil)
			}
		case failure:
			b.open(err, spread)
		case neutral:
			b.wake() // its place is free for another
		}
		return
	}
	if b.state != Closed || o == neutral {
		return
	}
	now := time.Now()
	b.counts.add(now, o == failure)
	if o != failure {
		return
	}
	total, failed := b.counts.sum(now)
	if total >= b.config.MinCount && float64(failed) >= b.config.Ratio*float64(total) {
		b.open(err, spread)
	}
}

// open opens the breaker, for twice as long as the last time unless it was
// closed meanwhile.
func (b *Breaker) open(cause error, random float64) {
	switch {
	case b.pause == 0:
		b.pause = b.config.OpenFor
	case b.pause < b.config.MaxOpenFor/2:
		b.pause *= 2
	default:
		b.pause = b.config.MaxOpenFor
	}
	spread := b.pause + min(time.Duration(random*float64(b.pause)/5), math.MaxInt64-b.pause)
	b.until = time.Now().Add(spread)
	b.change(Open, cause)
	era := b.era
	time.AfterFunc(spread, func() {
		b.mu.Lock()
		if b.era == era {
			b.change(HalfOpen, nil)
		}
		b.mu.Unlock()
		b.notify()
	})
}

func (b *Breaker) change(to State, cause error) {
	b.changes = append(b.changes, change{from: b.state, to: to, cause: cause, pause: b.pause})
	b.state = to
	b.era++
	b.probing, b.succeeded = 0, 0
	b.checking, b.checked = false, b.config.Check == nil
	if to != Open {
		b.wake()
	}
}

// wake tells those who wait at the gate to ask again.
func (b *Breaker) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// notify tells OnChange of changes, in order and with mu not held, so that it may
// look at the breaker. A change that comes while another is being told is left to
// whoever is telling. The logger has the time that it takes: nobody waits for it
// but the goroutine that was telling.
func (b *Breaker) notify() {
	b.mu.Lock()
	if b.notifying {
		b.mu.Unlock()
		return
	}
	b.notifying = true
	var told []change
	func() {
		defer b.mu.Unlock()
		defer func() { b.notifying = false }()
		for len(b.changes) > 0 {
			c := b.changes[0]
			b.changes = b.changes[1:]
			b.tell(c)
			told = append(told, c)
		}
	}()
	for _, c := range told {
		b.log(c)
	}
}

// tell lets go of mu while it tells. An OnChange that ends its goroutine leaves
// what it was not told of to the next notify.
func (b *Breaker) tell(c change) {
	if b.config.OnChange == nil {
		return
	}
	b.mu.Unlock()
	defer b.mu.Lock()
	if p := invoke.Do(func() { b.config.OnChange(c.from, c.to, c.cause) }); p != nil {
		b.config.Logger.LogAttrs(context.Background(), slog.LevelError, "the breaker's OnChange panicked",
			slog.String("breaker", b.config.Name), slog.Any("error", p), slog.String("stack", string(p.Stack)))
	}
}

func (b *Breaker) log(c change) {
	level, attrs := slog.LevelInfo, []slog.Attr{
		slog.String("breaker", b.config.Name), slog.String("from", c.from.String()), slog.String("to", c.to.String()),
	}
	if c.to == Open {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Duration("pause", c.pause), slog.Any("error", c.cause))
	}
	b.config.Logger.LogAttrs(context.Background(), level, "breaker "+c.to.String(), attrs...)
}
