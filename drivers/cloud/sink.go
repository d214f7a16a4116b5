package cloud

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gocloud.dev/pubsub"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// maxBatch is how many messages a call of the port takes. gocloud makes the
// provider's batches of them.
const maxBatch = 100

// SinkConfig says what gocloud does not tell about a topic.
type SinkConfig struct {
	// Queue is the topic's name as an operator knows it. Required.
	Queue string
	// System is OpenTelemetry's messaging.system. Empty means "gocloud".
	System string
	// MaxMessageBytes refuses a message whose body and attributes are larger,
	// before it is sent. Zero means no limit but the provider's own.
	MaxMessageBytes int
	// Flush is called after each batch and returns when the provider has it, for
	// a gocloud driver whose Send returns earlier (NATS). Nil says that there is
	// no need.
	Flush func(ctx context.Context) error
	// Prepare is gocloud's Message.BeforeSend of every message, for what gocloud has
	// no field for (RabbitMQ: that it is to be kept on disk). It is called
	// concurrently. Nil does nothing.
	Prepare func(as func(any) bool) error
}

// A Sink sends to a gocloud topic. It implements [drivers.Sink].
type Sink struct {
	topic  *pubsub.Topic
	c      SinkConfig
	closed atomic.Bool
}

var _ drivers.Sink = (*Sink)(nil)

// NewSink returns a sink on topic, which it owns from then on.
func NewSink(topic *pubsub.Topic, c SinkConfig) (*Sink, error) {
	var faults []error
	if topic == nil {
		faults = append(faults, errors.New("cloud: the topic is nil"))
	}
	if c.Queue == "" {
		faults = append(faults, errors.New("cloud: SinkConfig.Queue is empty"))
	}
	if c.MaxMessageBytes < 0 {
		faults = append(faults, fmt.Errorf("cloud: SinkConfig.MaxMessageBytes is %d: it must not be negative", c.MaxMessageBytes))
	}
	if c.System == "" {
		c.System = DefaultSystem
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &Sink{topic: topic, c: c}, nil
}

// Send implements drivers.Sink. The messages of a batch are sent concurrently,
// so that gocloud can batch them; none fails because of another.
func (s *Sink) Send(ctx context.Context, ms []*handler.Message) []error {
	ids := make([]string, len(ms))
	pms := make([]*pubsub.Message, len(ms))
	errs := make([]error, len(ms))
	now := time.Now()
	for i, m := range ms {
		ids[i] = newID()
		pms[i], errs[i] = s.wrap(m, ids[i], now)
	}
	s.publish(ctx, pms, errs)
	failed := false
	for i, err := range errs {
		if err == nil {
			ms[i].ID = ids[i]
		}
		failed = failed || err != nil
	}
	if !failed {
		return nil
	}
	return errs
}

func (s *Sink) wrap(m *handler.Message, id string, now time.Time) (*pubsub.Message, error) {
	refuse := func(code drivers.Code, err error) error {
		return &drivers.Error{Code: code, Queue: s.c.Queue, Op: "send", Err: err}
	}
	if m.Delay > 0 {
		return nil, refuse(drivers.Unsupported, fmt.Errorf("the message has a delay of %v, and gocloud's topics have none", m.Delay))
	}
	pm, err := wrap(m, id, now)
	if err != nil {
		return nil, refuse(drivers.Invalid, err)
	}
	if most := s.c.MaxMessageBytes; most > 0 {
		size := len(pm.Body)
		for name, value := range pm.Metadata {
			size += len(name) + len(value)
		}
		if size > most {
			return nil, refuse(drivers.Invalid, fmt.Errorf("the message has %d bytes with its attributes, and the limit is %d", size, most))
		}
	}
	return pm, nil
}

// publish sends the messages that have no error yet, and notes what became of
// them.
func (s *Sink) publish(ctx context.Context, pms []*pubsub.Message, errs []error) {
	var wg sync.WaitGroup
	for i, pm := range pms {
		switch {
		case s.closed.Load():
			errs[i] = closed(s.c.Queue, "send")
		case ctx.Err() != nil:
			errs[i] = ctx.Err()
		case errs[i] == nil:
			if s.c.Prepare != nil {
				// gocloud calls it on a goroutine of its own.
				pm.BeforeSend = func(as func(any) bool) error { return call(func() error { return s.c.Prepare(as) }) }
			}
			wg.Go(func() { errs[i] = classify(ctx, s.c.Queue, "send", s.topic.Send(ctx, pm)) })
		}
	}
	wg.Wait()
	if s.c.Flush == nil || len(pms) == 0 {
		return
	}
	if err := call(func() error { return s.c.Flush(ctx) }); err != nil {
		err = classify(ctx, s.c.Queue, "send", err)
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
	}
}

// Capabilities implements drivers.Sink.
func (s *Sink) Capabilities() drivers.Capabilities {
	return drivers.Capabilities{
		Queue: s.c.Queue, System: s.c.System,
		MaxReceive: maxBatch, MaxSettle: maxBatch, MaxExtend: maxBatch, MaxSend: maxBatch,
		MaxMessageBytes: s.c.MaxMessageBytes, MaxSendDelay: -1, MaxDelay: -1, MaxExtension: -1,
	}
}

// Close implements drivers.Sink. It waits for what is being sent, up to
// [closePatience].
func (s *Sink) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	return classify(ctx, s.c.Queue, "close", s.topic.Shutdown(ctx))
}
