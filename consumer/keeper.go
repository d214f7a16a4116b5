package consumer

import (
	"time"

	"github.com/sluice-go/sluice/handler"
)

// A keeper has what a lease needs once someone wants it extended. At most one
// extension of a lease is on its way; want is the next one. It is guarded by
// delivery.mu.
type keeper struct {
	// on reports whether Keep holds the lease. calls counts the calls of Keep, so
	// that the stop function of an older call does not end a newer one.
	on       bool
	calls    int
	length   time.Duration
	fraction float64
	until    instant // no extensions from then on; zero means no end

	want    time.Duration // the extension to send; zero if none
	sent    bool          // an extension is on its way
	tries   int           // failed extensions in a row
	retryAt instant       // of an extension that failed
	refused bool          // the provider refuses extensions

	waiters []chan error  // Extend calls that wait for want
	current []chan error  // Extend calls that wait for the extension on its way
	idle    chan struct{} // closed when the extension on its way is answered; nil if no one waits

	hooks    []func(time.Time)
	calling  bool // a goroutine calls the hooks
	hookOwed bool // there was another extension meanwhile
}

// begin starts to keep a lease of the given length by o, and returns the number of
// this call. longest is the provider's longest extension.
func (k *keeper) begin(o handler.KeepOptions, length, longest time.Duration, now time.Time) int {
	k.on, k.calls = true, k.calls+1
	k.length, k.fraction, k.until = o.Extension, o.Fraction, 0
	if o.Max > 0 {
		k.until = at(now).add(o.Max)
	}
	if k.length <= 0 {
		k.length = length
	}
	// A longer extension would be due again as soon as it was granted.
	k.length = min(k.length, longest)
	if k.fraction <= 0 {
		k.fraction = 0.5
	}
	return k.calls
}

// answerWaiting cancels the wanted extension and answers the Extend calls that wait
// for it. A nil keeper has none.
func (k *keeper) answerWaiting(err error) {
	if k == nil {
		return
	}
	k.want = 0
	answer(k.waiters, err)
	k.waiters = nil
}

// answerSent answers the Extend calls and the stop functions that wait for the
// extension on its way, which has ended.
func (k *keeper) answerSent(err error) {
	k.sent = false
	answer(k.current, err)
	k.current = nil
	if k.idle != nil {
		close(k.idle)
		k.idle = nil
	}
}

// answer sends err to Extend calls. Their channels have room for it.
func answer(waiters []chan error, err error) {
	for _, w := range waiters {
		w <- err
	}
}
