package otel

// Control is what operators ask of a queue's consumer.
type Control struct {
	// Paused is true while nothing is received.
	Paused bool
	// Concurrency is how many handlers may run concurrently, and Rate how many messages may
	// begin in a second. Zero means no limit.
	Concurrency int
	Rate        float64
}
