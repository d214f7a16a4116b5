package config

import (
	"slices"

	"github.com/sluice-go/sluice/internal/nearest"
)

// A Config is a configuration that was loaded. It does not change, and may be
// used concurrently. The zero Config has no queues.
type Config struct {
	files  []string
	queues []Queue // sorted by name
	values []Value
}

// Files are the files that were read, in order.
func (c *Config) Files() []string { return slices.Clone(c.files) }

// Queues are the configured queues, sorted by name.
func (c *Config) Queues() []Queue { return slices.Clone(c.queues) }

// Names are the names of the configured queues, sorted.
func (c *Config) Names() []string {
	names := make([]string, len(c.queues))
	for i := range c.queues {
		names[i] = c.queues[i].Name
	}
	return names
}

// Values are the effective values with their origins, without secrets, sorted by
// queue.
func (c *Config) Values() []Value { return slices.Clone(c.values) }

// Queue finds a queue by its name, or by its URL: anything that begins with a
// scheme is taken for one. The error is an [*UnknownQueueError].
func (c *Config) Queue(nameOrURL string) (*Queue, error) {
	if IsURL(nameOrURL) {
		return &Queue{Name: Redact(nameOrURL), Source: nameOrURL, Sink: nameOrURL}, nil
	}
	for i := range c.queues {
		if c.queues[i].Name == nameOrURL {
			q := c.queues[i]
			return &q, nil
		}
	}
	names := c.Names()
	return nil, &UnknownQueueError{Name: nameOrURL, Nearest: nearest.Of(nameOrURL, names), Known: names}
}
