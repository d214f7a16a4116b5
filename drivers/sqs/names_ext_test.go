package sqs_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqs"
)

func TestNames(t *testing.T) {
	t.Parallel()
	named := &provision.Spec{DeadLetter: &provision.DeadLetter{Name: "dead"}}
	for _, c := range []struct {
		url        string
		spec       *provision.Spec
		queue, dlq string
		byName     bool
	}{
		{"awssqs:///orders", nil, "arn:aws:sqs:*:*:orders", "arn:aws:sqs:*:*:orders-dlq", true},
		{"awssqs:///orders.fifo?region=eu-west-1", nil, "arn:aws:sqs:eu-west-1:*:orders.fifo", "arn:aws:sqs:eu-west-1:*:orders-dlq.fifo", true},
		{"awssqs:///123456789012/orders?region=us-gov-west-1", named, "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:orders", "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:dead", true},
		{"awssqs://sqs.us-east-1.amazonaws.com/123456789012/orders", &provision.Spec{}, "arn:aws:sqs:us-east-1:123456789012:orders", "", false},
		{"awssqs:///orders?dead_letter=arn:aws:sqs:us-east-1:123456789012:d", &provision.Spec{}, "arn:aws:sqs:*:*:orders", "arn:aws:sqs:us-east-1:123456789012:d", true},
	} {
		u, err := url.Parse(c.url)
		require.NoError(t, err)
		got, err := (&sqs.Opener{}).Names(u, c.spec)
		require.NoError(t, err, c.url)
		require.Equal(t, &provision.Names{System: "aws_sqs", Queue: c.queue, DeadLetter: c.dlq, ByName: c.byName}, got, c.url)
	}
	_, err := (&sqs.Opener{}).Names(&url.URL{Scheme: "awssqs", Path: "/"}, nil)
	require.ErrorIs(t, err, drivers.ErrInvalid)
}
