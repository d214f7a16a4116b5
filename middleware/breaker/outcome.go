package breaker

// outcome is what a message says about the dependency.
type outcome uint8

const (
	neutral outcome = iota
	success
	// doubtful is a failure that may be the handler's own mistake.
	doubtful
	failure
)

func (o outcome) failed() bool { return o == doubtful || o == failure }
