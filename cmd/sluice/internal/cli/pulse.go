package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/noun"
)

// pulseBeats is over how many beats a pulse takes its rate.
const pulseBeats = 5

// A pulse turns the numbers of a run into the text of its live line.
type pulse struct {
	counts func() handler.Counts
	health func() consumer.Health
	past   []beat
}

// A beat is how much was handled at a time.
type beat struct {
	at      time.Time
	handled uint64
}

// text returns the line at a time: first what matters most, since a narrow terminal cuts
// its end.
func (p *pulse) text(now time.Time) string {
	n, h := p.counts(), p.health()
	handled := n.Acked + n.Retried + n.DeadLettered + n.Dropped
	p.past = append(p.past, beat{now, handled})
	if len(p.past) > pulseBeats+1 {
		p.past = p.past[1:]
	}
	rate := 0.0
	if first := p.past[0]; now.After(first.at) {
		rate = float64(handled-first.handled) / now.Sub(first.at).Seconds()
	}
	parts := []string{rated(rate), fmt.Sprintf("in flight %d", h.Running), fmt.Sprintf("retries %d", n.Retried)}
	if n.DeadLettered > 0 {
		parts = append(parts, fmt.Sprintf("dead letters %d", n.DeadLettered))
	}
	switch paused := pausedOf(h); {
	case h.Status != consumer.HealthOK:
		parts = append(parts, h.Status)
	case paused > 0 && paused == len(h.Queues):
		parts = append(parts, "paused")
	case paused > 0:
		parts = append(parts, noun.Counted(paused, "queue")+" paused")
	}
	if h.Waiting+h.Parked > 0 {
		parts = append(parts, fmt.Sprintf("waiting %d", h.Waiting+h.Parked))
	}
	return strings.Join(append(parts, fmt.Sprintf("acked %d", n.Acked)), ", ")
}

// rated is a rate with as many digits as a person wants.
func rated(perSecond float64) string {
	if perSecond > 0 && perSecond < 10 {
		return fmt.Sprintf("%.1f/s", perSecond)
	}
	return fmt.Sprintf("%.0f/s", perSecond)
}

// pausedOf is the number of queues from which a gate holds back receiving.
func pausedOf(h consumer.Health) int {
	n := 0
	for _, q := range h.Queues {
		if q.Paused {
			n++
		}
	}
	return n
}
