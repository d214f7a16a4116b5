package admin

import (
	"cmp"
	"fmt"
	"net/url"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// A Target is a queue to be made or examined.
type Target struct {
	// Name is the queue's name in changes and findings. Empty means Spec's name,
	// or else the URL.
	Name string
	// URL is the queue's.
	URL string
	// Spec specifies the queue. Nil leaves out the findings that compare with it;
	// [Plan] and [Apply] take nil for the zero Spec.
	Spec *provision.Spec
	// Handlers describes the queue's handlers, as far as they are known.
	Handlers Handlers
}

// Handlers describes the handlers of a queue. The zero Handlers is not known.
type Handlers struct {
	// P99 is how long the slowest hundredth of them take.
	P99 time.Duration
	// Heartbeat reports whether they have the heartbeat middleware.
	Heartbeat bool
	// MaxAttempts is the number of attempts after which their own stack rejects a
	// message (backoff.Config.MaxAttempts, sluice run --max-attempts). Zero means
	// no limit.
	MaxAttempts int
}

func (t *Target) name() string {
	name := t.Name
	if name == "" && t.Spec != nil {
		name = t.Spec.Name
	}
	return cmp.Or(name, t.URL)
}

// capable returns the target's opener as a T. The error says that its driver is
// not one.
func capable[T any](mux *drivers.Mux, t *Target, op, lacks string) (T, *url.URL, error) {
	var none T
	opener, u, err := mux.Opener(t.URL)
	if err != nil {
		return none, nil, fmt.Errorf("%s: %w", t.name(), err)
	}
	able, ok := opener.(T)
	if !ok {
		return none, nil, &drivers.Error{Code: drivers.Unsupported, Queue: t.name(), Op: op,
			Err: fmt.Errorf("the %s driver %s", u.Scheme, lacks)}
	}
	return able, u, nil
}
