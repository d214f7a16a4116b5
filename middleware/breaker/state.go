package breaker

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/sluice-go/sluice/handler"
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
		case doubtful:
			if b.doubts++; b.doubts > b.patience() {
				b.open(err, spread)
				return
			}
			b.wake()
		case failure:
			b.unsure = false
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
	b.counts.add(now, o)
	if !o.failed() {
		return
	}
	total, doubts, failed := b.counts.sum(now)
	most := b.config.Ratio * float64(total)
	switch {
	case total >= b.config.MinCount && float64(failed) >= most:
		b.unsure = false
		b.open(err, spread)
	case total >= b.config.MinUnknown && float64(failed+doubts) >= most:
		b.unsure = true
		b.open(err, spread)
	}
}

// knownPatience is the patience with probes if the dependency was known to be down.
const knownPatience = 3

// patience is how many probes may fail for reasons that may be the handler's own
// before the breaker opens again. The dependency may be up, and the messages poison:
// if such failures opened the breaker, the patience doubles with each round, up to as
// many as opened it. So the time that n poison messages cost grows with log n.
func (b *Breaker) patience() int {
	if !b.unsure {
		return knownPatience
	}
	return min(b.config.MinUnknown/(2*defaultMinCount)<<min(b.rounds, 16), b.config.MinUnknown)
}

// open opens the breaker, for twice as long as the last time unless it was
// closed meanwhile.
func (b *Breaker) open(cause error, random float64) {
	switch {
	case b.pause == 0:
		b.pause, b.rounds = b.config.OpenFor, 0
	case b.pause < b.config.MaxOpenFor/2:
		b.pause *= 2
	default:
		b.pause = b.config.MaxOpenFor
	}
	if b.state == HalfOpen {
		b.rounds++
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
	b.probing, b.succeeded, b.doubts = 0, 0, 0
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

// tell lets go of mu while it tells. OnChange has a goroutine of its own, which it may
// end: the caller's is that of a handler, whose verdict would be lost.
func (b *Breaker) tell(c change) {
	if b.config.OnChange == nil {
		return
	}
	b.mu.Unlock()
	defer b.mu.Lock()
	failed := invoke.DoApart(func() { b.config.OnChange(c.from, c.to, c.cause) })
	if failed == nil {
		return
	}
	what, attrs := "ended its goroutine", []slog.Attr{slog.String("breaker", b.config.Name)}
	if p, ok := invoke.As[*handler.PanicError](failed); ok {
		what = "panicked"
		attrs = append(attrs, slog.Any("error", p), slog.String("stack", string(p.Stack)))
	}
	b.config.Logger.LogAttrs(context.Background(), slog.LevelError, "the breaker's OnChange "+what, attrs...)
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
