package consumer

import (
	"time"

	"github.com/sluice-go/sluice/handler"
)

// A settlement is the verdict on a delivery, and how far it has been carried out. It
// is guarded by delivery.mu until it is submitted; then it belongs to the settler.
type settlement struct {
	delay time.Duration
	// until is when the handler of a parked delivery runs again (rerun), or when its
	// message becomes visible again.
	until instant

	action   handler.Action
	tries    uint8 // or more
	delayed  bool
	released bool // given back unhandled
	waits    bool // until the extension on its way has ended
	again    bool // it failed and is submitted again when the timer fires
	// rerun and due are a parked delivery's. due is set if its time has come and only an
	// extension on its way is awaited.
	rerun, due bool
}

// unsupported records the parts of a verdict that the queue cannot honor.
type unsupported struct {
	noDLQ     bool          // there is no dead-letter queue
	undelayed time.Duration // the delay, on a queue without delays
	cut       time.Duration // the delay that was cut to the provider's longest
}
