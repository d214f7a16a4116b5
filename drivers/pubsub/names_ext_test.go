package pubsub_test

import (
	neturl "net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/pubsub"
)

func TestNames(t *testing.T) {
	t.Parallel()
	const in = "projects/p/"
	for _, c := range []struct {
		url  string
		spec *provision.Spec
		want provision.Names
	}{
		{"gcppubsub://projects/p/subscriptions/s", nil, provision.Names{
			Queue: in + "subscriptions/s", Topic: in + "topics/s", DeadLetter: in + "subscriptions/s-dlq", DeadLetterTopic: in + "topics/s-dlq",
		}},
		{"gcppubsub://projects/p/subscriptions/s?topic=t&dead_letter_subscription=letters", nil, provision.Names{
			Queue: in + "subscriptions/s", Topic: in + "topics/t", DeadLetter: in + "subscriptions/letters", DeadLetterTopic: in + "topics/s-dlq",
		}},
		{"gcppubsub://projects/p/subscriptions/s", &provision.Spec{}, provision.Names{Queue: in + "subscriptions/s", Topic: in + "topics/s"}},
		{"gcppubsub://projects/p/topics/t", nil, provision.Names{Topic: in + "topics/t"}},
	} {
		u, err := neturl.Parse(c.url)
		require.NoError(t, err)
		got, err := new(pubsub.Opener).Names(u, c.spec)
		require.NoError(t, err, c.url)
		c.want.System, c.want.Project = "gcp_pubsub", "projects/p"
		require.Equal(t, &c.want, got, c.url)
	}
	_, err := new(pubsub.Opener).Names(&neturl.URL{Scheme: "gcppubsub", Host: "p"}, nil)
	require.ErrorIs(t, err, drivers.ErrInvalid)
}
