package cloud_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/rabbitpubsub"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// rabbit opens RabbitMQ's exchanges on one connection, and each queue on one of
// its own: gocloud's driver neither cancels its consumer nor closes its channel,
// so that only the connection's end gives back what was pushed to it.
type rabbit struct {
	server string
	topics *amqp.Connection
}

func startRabbit(t *testing.T) rabbit {
	t.Helper()
	r := rabbit{server: testserver.RabbitMQ(t).URL}
	var err error
	r.topics, err = amqp.Dial(r.server)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.topics.Close()) })
	return r
}

func (r rabbit) mux(lost func(*pubsub.Message) bool) *drivers.Mux {
	gomux := new(pubsub.URLMux)
	gomux.RegisterTopic(rabbitpubsub.Scheme, r)
	gomux.RegisterSubscription(rabbitpubsub.Scheme, r)
	return drivers.NewMux(&cloud.Opener{Mux: gomux, Providers: map[string]cloud.Provider{
		rabbitpubsub.Scheme: {System: "rabbitmq", Release: hangUp, Lost: lost, Prepare: persist},
	}})
}

// taken is true for a delivery whose channel is closed: RabbitMQ has requeued it,
// and its tag means another on the channel that gocloud has opened since.
func taken(m *pubsub.Message) bool {
	ch, ok := channel(m)
	return ok && ch.IsClosed()
}

func channel(m *pubsub.Message) (*amqp.Channel, bool) {
	var d amqp.Delivery
	if !m.As(&d) {
		return nil, false
	}
	ch, ok := d.Acknowledger.(*amqp.Channel)
	return ch, ok
}

// persist has RabbitMQ keep a message on disk.
func persist(as func(any) bool) error {
	var p *amqp.Publishing
	if !as(&p) {
		return errors.New("rabbit: gocloud does not tell what it publishes")
	}
	p.DeliveryMode = amqp.Persistent
	return nil
}

func (r rabbit) OpenTopicURL(ctx context.Context, u *url.URL) (*pubsub.Topic, error) {
	return (&rabbitpubsub.URLOpener{Connection: r.topics}).OpenTopicURL(ctx, u)
}

func (r rabbit) OpenSubscriptionURL(ctx context.Context, u *url.URL) (*pubsub.Subscription, error) {
	conn, err := amqp.Dial(r.server)
	if err != nil {
		return nil, err
	}
	s, err := (&rabbitpubsub.URLOpener{Connection: conn}).OpenSubscriptionURL(ctx, u)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// hangUp closes a subscription's connection.
func hangUp(s *pubsub.Subscription) error {
	var conn *amqp.Connection
	if !s.As(&conn) {
		return errors.New("rabbit: gocloud does not tell its connection")
	}
	if err := conn.Close(); err != nil && !errors.Is(err, amqp.ErrClosed) {
		return err
	}
	return nil
}

// declare makes a durable queue and the exchange that leads to it, of one name.
func declare(ch *amqp.Channel, name string) error {
	if err := ch.ExchangeDeclare(name, amqp.ExchangeFanout, true, false, false, false, nil); err != nil {
		return err
	}
	if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
		return err
	}
	return ch.QueueBind(name, "", name, false, nil)
}

func TestConformanceRabbitMQ(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ server, retry string }{
		{"cloud on RabbitMQ", ""},
		{"cloud on RabbitMQ, republished", "&retry=republish"},
	} {
		t.Run(c.server, func(t *testing.T) {
			t.Parallel()
			rabbitConformance(t, c.server, c.retry)
		})
	}
}

func rabbitConformance(t *testing.T, server, retry string) {
	r := startRabbit(t)
	mux := r.mux(taken)
	drivertest.Run(t, &drivertest.Harness{
		Server: server,
		NewQueue: func(_ context.Context, o drivertest.QueueOptions) (*drivertest.Queue, error) {
			if o.Ordered || o.Dedupe || o.MaxAttempts > 0 {
				return nil, &drivers.Error{Code: drivers.Unsupported, Op: "create", Err: errors.New("gocloud has no order, deduplication or native dead letters")}
			}
			ch, err := r.topics.Channel()
			if err != nil {
				return nil, err
			}
			defer ch.Close()
			name := "conf-" + rand.Text()
			if err := declare(ch, name); err != nil {
				return nil, err
			}
			u := "rabbit://" + name
			source, letters := u+"?prefetch_count=300"+retry, ""
			if retry != "" {
				source += "&retry_topic=" + u
			}
			if o.DeadLetter {
				if err := declare(ch, name+"-dlq"); err != nil {
					return nil, err
				}
				letters = u + "-dlq?prefetch_count=300"
				source += "&dead_letter=" + u + "-dlq"
			}
			return drivertest.ByURL(mux, source, u+"?max_message_bytes=900000", letters), nil
		},
		Exceptions: map[string]drivertest.Exception{
			"CLOSE-5": {Reason: "there is no lease: what the closed source held comes back immediately, before what is sent later", Flaky: true},
		},
	})
}

func TestRabbitMQKeepsWhatIsSentOnDisk(t *testing.T) {
	t.Parallel()
	r := startRabbit(t)
	ch, err := r.topics.Channel()
	require.NoError(t, err)
	name := testserver.Name(t)
	require.NoError(t, declare(ch, name))
	sink, err := r.mux(taken).OpenSink(t.Context(), "rabbit://"+name, nil)
	require.NoError(t, err)
	require.Nil(t, sink.Send(t.Context(), []*handler.Message{{Body: []byte("x")}}))
	d, ok, err := ch.Get(name, true)
	require.NoError(t, err)
	require.True(t, ok, "the sink returns when RabbitMQ has it")
	require.Equal(t, amqp.Persistent, d.DeliveryMode)
	require.NoError(t, sink.Close())
}

// A channel that is closed under a handler takes its deliveries back. The
// handler's ack must not hit what the next channel gives the same tag.
func TestRabbitMQClosesAChannelUnderAHandler(t *testing.T) {
	t.Parallel()
	r := startRabbit(t)
	ch, err := r.topics.Channel()
	require.NoError(t, err)
	name := testserver.Name(t)
	require.NoError(t, declare(ch, name))
	var closing atomic.Bool
	mux := r.mux(func(m *pubsub.Message) bool {
		if ch, ok := channel(m); ok && closing.Swap(false) {
			if err := ch.Close(); err != nil {
				t.Error(err)
			}
		}
		return taken(m)
	})
	sink, err := mux.OpenSink(t.Context(), "rabbit://"+name, nil)
	require.NoError(t, err)
	source, err := mux.OpenSource(t.Context(), "rabbit://"+name+"?prefetch_count=10", nil)
	require.NoError(t, err)
	ack := func(d drivers.Delivery) []error {
		return source.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Action: handler.ActionAck}})
	}
	receive := func() (d drivers.Delivery) {
		require.Eventually(t, func() bool {
			ds, err := source.Receive(t.Context(), 1, time.Second)
			if err == nil && len(ds) > 0 {
				d = ds[0]
			}
			return d.Message != nil // an error is the channel's end, told once
		}, time.Minute, time.Millisecond)
		return d
	}
	require.Nil(t, sink.Send(t.Context(), []*handler.Message{{Body: []byte("one")}}))
	first := receive()
	closing.Store(true)
	errs := ack(first)
	require.False(t, closing.Load(), "the channel was closed")
	require.ErrorIs(t, errs[0], drivers.ErrLeaseLost)

	again := receive()
	require.Equal(t, first.Message.ID, again.Message.ID)
	require.ErrorIs(t, ack(first)[0], drivers.ErrLeaseLost)
	require.Nil(t, ack(again))
	require.NoError(t, source.Close())
	require.NoError(t, sink.Close())
	_, ok, err := ch.Get(name, true)
	require.NoError(t, err)
	require.False(t, ok, "the second ack was for the second delivery")
}

// redialing opens topics as a program should: on a connection that is dialed anew
// once it is closed.
type redialing struct {
	rabbit
	conn *atomic.Pointer[amqp.Connection]
}

func (r redialing) OpenTopicURL(ctx context.Context, u *url.URL) (*pubsub.Topic, error) {
	conn := r.conn.Load()
	if conn == nil || conn.IsClosed() {
		var err error
		if conn, err = amqp.Dial(r.server); err != nil {
			return nil, err
		}
		r.conn.Store(conn)
	}
	return (&rabbitpubsub.URLOpener{Connection: conn}).OpenTopicURL(ctx, u)
}

// The connection of the topics breaks. Messages that are sent, and those that are retried,
// goes by the next one.
func TestRabbitMQLosesTheConnectionOfItsTopics(t *testing.T) {
	t.Parallel()
	r := redialing{startRabbit(t), new(atomic.Pointer[amqp.Connection])}
	t.Cleanup(func() { require.NoError(t, r.conn.Load().Close()) })
	ch, err := r.topics.Channel()
	require.NoError(t, err)
	name := testserver.Name(t)
	require.NoError(t, declare(ch, name))
	gomux := new(pubsub.URLMux)
	gomux.RegisterTopic(rabbitpubsub.Scheme, r)
	gomux.RegisterSubscription(rabbitpubsub.Scheme, r)
	mux := drivers.NewMux(&cloud.Opener{Mux: gomux, Providers: map[string]cloud.Provider{
		rabbitpubsub.Scheme: {System: "rabbitmq", Release: hangUp, Lost: taken, Prepare: persist},
	}})
	u := "rabbit://" + name
	sink, err := mux.OpenSink(t.Context(), u, nil)
	require.NoError(t, err)
	source, err := mux.OpenSource(t.Context(), u+"?prefetch_count=10&retry=republish&retry_topic="+u, nil)
	require.NoError(t, err)
	send := func() error {
		return errors.Join(sink.Send(t.Context(), []*handler.Message{{Body: []byte("x")}})...)
	}
	receive := func() (d drivers.Delivery) {
		require.Eventually(t, func() bool {
			ds, err := source.Receive(t.Context(), 1, time.Second)
			if len(ds) > 0 {
				d = ds[0]
			}
			return err == nil && len(ds) > 0
		}, 30*time.Second, time.Millisecond)
		return d
	}
	require.NoError(t, send())
	d := receive()

	require.NoError(t, r.conn.Load().Close())
	require.Error(t, send())
	require.Eventually(t, func() bool { return send() == nil }, 30*time.Second, 100*time.Millisecond, "the sink stays dead")
	retry := drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionRetry}
	require.Eventually(t, func() bool {
		return errors.Join(source.Settle(t.Context(), []drivers.Settlement{retry})...) == nil
	}, 30*time.Second, 100*time.Millisecond, "retries are never sent again")
	attempts := []int{receive().Message.Attempt, receive().Message.Attempt}
	require.ElementsMatch(t, []int{1, 2}, attempts, "the new message, and the one that is retried")
	require.NoError(t, errors.Join(source.Close(), sink.Close()))
}
