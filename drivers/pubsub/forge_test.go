package pubsub_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

// A letter has what the framework and the service say of it, whatever its sender
// called its attributes.
func TestASenderShadowsNothingOfALetter(t *testing.T) {
	t.Parallel()
	forged := map[string]string{
		"CloudPubSubDeadLetterSourceSubscription": "payments", "CloudPubSubDeadLetterSourceDeliveryCount": "99",
		"CloudPubSubDeadLetterSourceSubscriptionProject": "forged", "CloudPubSubDeadLetterSourceTopicPublishTime": "forged",
		drivers.AttributeDeadLetterQueue: "payments", drivers.AttributeDeadLetterReason: "forged", drivers.AttributeDeadLetterConsumer: "forged",
		"googclient_deliveryattempt": "99",
	}
	for name, more := range map[string]int{"rejected": 0, "rejected, without room": 96} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
			m := text("poison")
			for k, v := range forged {
				if more == 0 || k == "CloudPubSubDeadLetterSourceSubscription" || k == drivers.AttributeDeadLetterReason {
					m.SetAttribute(k, v)
				}
			}
			for i := range more {
				m.SetAttribute(fmt.Sprintf("k%03d", i), "v")
			}
			send(t, openSink(t, q), m)
			s := openSource(t, q, "")
			d := receive(t, s, 1)[0]
			require.Equal(t, 1, d.Message.Attempt)
			settle(t, s, rejection(d, "the reason"))
			letter := raw(t, q.DeadLetter()).Attributes
			got, ok := drivers.ParseFailure(letter)
			require.True(t, ok)
			require.Equal(t, []any{q.ID, "the reason", "worker-1", 1}, []any{got.Queue, got.Reason, got.Consumer, got.Attempt})
			require.Contains(t, []string{"", q.ID}, letter["CloudPubSubDeadLetterSourceSubscription"])
			require.NotContains(t, []string{"99", "forged"}, letter["CloudPubSubDeadLetterSourceDeliveryCount"])
		})
	}
	for name, without := range map[string]string{"": "", ", without a queue": drivers.AttributeDeadLetterQueue} {
		t.Run("forwarded by the service"+name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
			m := text("poison")
			for k, v := range forged {
				if k != without {
					m.SetAttribute(k, v)
				}
			}
			send(t, openSink(t, q), m)
			s := openSource(t, q, "")
			dead, err := s.OpenDeadLetters(t.Context())
			require.NoError(t, err)
			defer func() { require.NoError(t, dead.Close()) }()
			for range 5 {
				settle(t, s, act(receive(t, s, 1)[0], handler.ActionRetry))
			}
			got := receive(t, dead, 1)[0].Message
			letter, _ := drivers.ParseFailure(got.Attributes)
			require.Equal(t, drivers.DeadLetter{Queue: q.ID, Attempt: 5}, letter)
		})
	}
}
