package cloud_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/rabbitpubsub"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/internal/testserver"
)

// rabbit opens RabbitMQ's exchanges on one connection, and each queue on one of
// its own: gocloud's driver neither cancels its consumer nor closes its channel,
// so that only the connection's end gives back what was pushed to it.
type rabbit struct {
	server string
	topics *amqp.Connection
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
	for _, c := range []struct{ server, retry string }{
		{"cloud on RabbitMQ", ""},
		{"cloud on RabbitMQ, republished", "&retry=republish"},
	} {
		t.Run(c.server, func(t *testing.T) { rabbitConformance(t, c.server, c.retry) })
	}
}

func rabbitConformance(t *testing.T, server, retry string) {
	r := rabbit{server: testserver.RabbitMQ(t).URL}
	var err error
	r.topics, err = amqp.Dial(r.server)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.topics.Close()) })
	gomux := new(pubsub.URLMux)
	gomux.RegisterTopic(rabbitpubsub.Scheme, r)
	gomux.RegisterSubscription(rabbitpubsub.Scheme, r)
	mux := drivers.NewMux(&cloud.Opener{Mux: gomux, Providers: map[string]cloud.Provider{
		rabbitpubsub.Scheme: {System: "rabbitmq", Release: hangUp},
	}})
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
			"CLOSE-5": {Reason: "there is no lease: what the closed source held comes back at once, before what is sent later", Flaky: true},
		},
	})
}
