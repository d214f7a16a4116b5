package queue

import (
	"errors"
	"fmt"
	"maps"
)

// withDefaults returns a copy of c that shares nothing with it and has no
// implied values.
func (c Config) withDefaults() Config {
	if c.Visibility == 0 {
		c.Visibility = DefaultVisibility
	}
	if c.Retention == 0 {
		c.Retention = DefaultRetention
	}
	if len(c.Extra) == 0 {
		c.Extra = nil
	}
	c.Extra = maps.Clone(c.Extra)
	return c
}

func (c *Config) validate(name string) error {
	var faults []error
	if name == "" {
		faults = append(faults, errors.New("the queue's name is empty"))
	}
	if c.Visibility < 0 {
		faults = append(faults, fmt.Errorf("Visibility is %v, below zero", c.Visibility))
	}
	if c.Retention < 0 {
		faults = append(faults, fmt.Errorf("Retention is %v, below zero", c.Retention))
	}
	if c.Delay < 0 {
		faults = append(faults, fmt.Errorf("Delay is %v, below zero", c.Delay))
	}
	if c.DedupeWindow < 0 {
		faults = append(faults, fmt.Errorf("DedupeWindow is %v, below zero", c.DedupeWindow))
	}
	if c.MaxReceives < 0 {
		faults = append(faults, fmt.Errorf("MaxReceives is %d, below zero", c.MaxReceives))
	}
	if c.DeadLetter != "" && c.DeadLetter == name && !c.Lax {
		faults = append(faults, errors.New("the queue is its own dead-letter queue"))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("queue %q: %w: %w", name, ErrConfig, err)
	}
	return nil
}

// equal compares configurations that have their defaults.
func (c *Config) equal(d *Config) bool {
	return c.Visibility == d.Visibility && c.Retention == d.Retention && c.Delay == d.Delay &&
		c.Ordered == d.Ordered && c.Lax == d.Lax && c.DedupeWindow == d.DedupeWindow && c.DedupePerGroup == d.DedupePerGroup &&
		c.DeadLetter == d.DeadLetter && c.MaxReceives == d.MaxReceives && maps.Equal(c.Extra, d.Extra)
}

// anyReceipt reports whether old and expired receipts change leases.
func (c *Config) anyReceipt() bool { return c.Lax && !c.Ordered }

// dedupeScope is what a dedupe ID is unique in, beside the queue.
func (c *Config) dedupeScope(group string) string {
	if c.DedupePerGroup {
		return group
	}
	return ""
}
