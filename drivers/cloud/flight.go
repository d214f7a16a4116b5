package cloud

import (
	"context"
	"time"

	"gocloud.dev/pubsub"

	"github.com/sluice-go/sluice/handler"
)

// A flight is one delivery of a message.
type flight struct {
	pm  *pubsub.Message
	m   *handler.Message // as it was received; the caller has a copy
	due time.Time
}

// fetched takes the messages that gocloud has fetched ahead of the receives. Shutting
// the subscription down would drop them: not every driver of gocloud's gives them
// back.
func fetched(ctx context.Context, sub *pubsub.Subscription) []*flight {
	var fs []*flight
	for {
		one, cancel := context.WithTimeout(ctx, ask)
		pm, err := sub.Receive(one)
		cancel()
		if err != nil {
			return fs
		}
		m, due := unwrap(pm, time.Now())
		fs = append(fs, &flight{pm: pm, m: m, due: due})
	}
}
