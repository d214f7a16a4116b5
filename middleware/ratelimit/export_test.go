package ratelimit

import "time"

// NewMemoryAt returns a memory store that goes by now.
func NewMemoryAt(now func() time.Time) Store { return newMemory(now) }
