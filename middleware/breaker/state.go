package breaker

import (
	"context"
	"log/slog"
	"math"
	"time"
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

// remaining is in how long a refused message may try again: once the breaker is
// no longer open, spread over a pause's length.
func (b *Breaker) remaining() time.Duration {
	return max(time.Until(b.until), 0) + time.Duration(b.config.Random()*float64(b.pause))
}

// count takes the outcome of a message of this era into account.
func (b *Breaker) count(probe bool, o outcome, err error) {
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
			b.open(err)
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
		b.open(err)
	}
}

// open opens the breaker, for twice as long as the last time unless it was
// closed meanwhile.
func (b *Breaker) open(cause error) {
	switch {
	case b.pause == 0:
		b.pause = b.config.OpenFor
	case b.pause < b.config.MaxOpenFor/2:
		b.pause *= 2
	default:
		b.pause = b.config.MaxOpenFor
	}
	spread := time.Duration(b.config.Random() * float64(b.pause) / 5)
	spread = b.pause + min(spread, math.MaxInt64-b.pause)
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

// notify tells of changes, in order and with mu not held, so that OnChange and
// the logger may look at the breaker. A change that comes while another is being
// told is left to whoever is telling.
func (b *Breaker) notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.notifying {
		return
	}
	b.notifying = true
	defer func() { b.notifying = false }()
	for len(b.changes) > 0 {
		told := b.changes
		b.changes = nil
		b.tell(told)
	}
}

// tell lets go of mu while it tells.
func (b *Breaker) tell(changes []change) {
	b.mu.Unlock()
	defer b.mu.Lock()
	for _, c := range changes {
		level, attrs := slog.LevelInfo, []slog.Attr{
			slog.String("breaker", b.config.Name), slog.String("from", c.from.String()), slog.String("to", c.to.String()),
		}
		if c.to == Open {
			level = slog.LevelWarn
			attrs = append(attrs, slog.Duration("pause", c.pause), slog.Any("error", c.cause))
		}
		b.config.Logger.LogAttrs(context.Background(), level, "breaker "+c.to.String(), attrs...)
		if b.config.OnChange != nil {
			b.config.OnChange(c.from, c.to, c.cause)
		}
	}
}
