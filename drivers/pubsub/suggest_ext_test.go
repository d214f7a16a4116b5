package pubsub_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub"
)

func TestAResourceNameIsAnsweredWithTheURL(t *testing.T) {
	m := drivers.NewMux(&pubsub.Opener{})
	for pasted, want := range map[string]string{
		"projects/p/subscriptions/s":                                  "write gcppubsub://projects/p/subscriptions/s",
		"//pubsub.googleapis.com/projects/p/topics/t":                 "write gcppubsub://projects/p/topics/t",
		"https://pubsub.googleapis.com/v1/projects/p/subscriptions/s": "write gcppubsub://projects/p/subscriptions/s",
		"projects/p/locations/l":                                      "has no scheme",
	} {
		_, err := m.OpenSource(t.Context(), pasted, nil)
		require.ErrorIs(t, err, drivers.ErrInvalid, pasted)
		require.ErrorContains(t, err, want)
	}
}
