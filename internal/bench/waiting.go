package main

import "github.com/sluice-go/sluice/handler"

// waiting observes how long messages wait in hand before their handlers start, how
// long these take, and how long the receives take that bring messages.
type waiting struct {
	held, handled, trips spread
}

// Observe implements [handler.Observer].
func (w *waiting) Observe(e handler.Event) {
	switch e.Kind {
	case handler.EventStarted:
		w.held.add(e.Waited)
	case handler.EventHandled:
		w.handled.add(e.Duration)
	}
}

// addTo adds what was observed to a sample.
func (w *waiting) addTo(s sample) {
	s[metricWait50], s[metricWait99] = w.held.quantile(0.5), w.held.quantile(0.99)
	s[metricTrip], s[metricHandling] = w.trips.quantile(0.5), w.handled.quantile(0.5)
}
