package breaker

import "fmt"

// State is the state of a [Breaker].
type State uint8

// The states.
const (
	// Closed lets messages through.
	Closed State = iota
	// Open lets none through.
	Open
	// HalfOpen lets a few through, as probes.
	HalfOpen
)

// String returns "closed", "open" or "half-open".
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case HalfOpen:
		return "half-open"
	default:
		return fmt.Sprintf("state(%d)", uint8(s))
	}
}
