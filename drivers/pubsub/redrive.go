package pubsub

import (
	"context"
	"errors"

	"github.com/sluice-go/sluice/drivers"
)

// OpenDeadLetters implements [drivers.DeadLetters]. The source that it returns is
// on the dead-letter topic's subscription.
func (s *Source) OpenDeadLetters(ctx context.Context) (drivers.Source, error) {
	sub, err := s.which(ctx, "open dead letters", true)
	if err != nil {
		return nil, err
	}
	dead, err := newSource(ctx, s.c.share(), sub, nil)
	if err != nil {
		return nil, err
	}
	return dead, nil
}

// OpenRedrive implements [drivers.DeadLetters]. What the sink sends goes to the
// topic, from where it reaches every subscription; it names the one that is meant
// (see [AttributeRedriveTarget]).
func (s *Source) OpenRedrive(_ context.Context) (drivers.Sink, error) {
	switch {
	case s.ended.Load():
		return nil, closed(s.sub, "open redrive")
	case s.current().topic.zero():
		return nil, &drivers.Error{Code: drivers.NotFound, Queue: s.sub.String(), Op: "open redrive", Err: errTopicGone}
	}
	return newSink(s.c.share(), s.current().topic, s.sub, s.caps.Ordered), nil
}

var errTopicGone = errors.New("the subscription's topic was deleted")
