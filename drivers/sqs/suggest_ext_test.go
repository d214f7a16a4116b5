package sqs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/sqs"
)

// An address that was pasted is answered with what to write, and never with a password.
func TestWhatToWriteForAnAddress(t *testing.T) {
	mux := drivers.NewMux(&sqs.Opener{}, &pubsub.Opener{})
	for paste, want := range map[string]string{
		"https://sqs.us-west-2.amazonaws.com./123456789012/orders":             "write awssqs://sqs.us-west-2.amazonaws.com/123456789012/orders",
		"http://localhost:4566/queue/eu-west-1/000000000000/orders":            "write awssqs:///orders?region=eu-west-1&endpoint=http://localhost:4566",
		"http://user:secret@localhost:9324/000000000000/orders":                "write awssqs:///orders?region=us-east-1&endpoint=http://localhost:9324",
		"https://us-east1-pubsub.googleapis.com/v1/projects/p/subscriptions/s": "write gcppubsub://projects/p/subscriptions/s",
		"http://localhost:9324/orders":                                         "known: awssqs, gcppubsub",
	} {
		_, err := mux.OpenSource(t.Context(), paste, nil)
		require.ErrorContains(t, err, want, paste)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "did you mean")
	}
}
