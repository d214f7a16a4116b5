package pubsubpush_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
)

// A publisher's attributes are headers of a push without an envelope, beside
// those of the service.
func TestAPublisherShadowsNoHeaderOfTheService(t *testing.T) {
	h := &recorder{}
	e := insecure(t, h, pubsubpush.Config{Format: pubsubpush.Unwrapped})
	sound := []string{"X-Goog-Pubsub-Message-Id", "8", "X-Goog-Pubsub-Subscription-Name", "projects/p/subscriptions/s", "Own", "v"}
	for _, name := range []string{
		"x_goog_pubsub_message_id", "X_Goog_Pubsub_Subscription_Name", "X_Goog_Pubsub_Delivery_Attempt", "X-Goog-Pubsub-Delivery-Attempt", "_x-goog-pubsub-ordering-key",
		"X-Goog-Pubsub-Forged", "Host", "Content_Length", "Transfer_Encoding", "authorization", "Cookie", "X_Forwarded_For",
	} {
		require.Equal(t, 204, post(e, "raw", append(sound, name, "99")...).Code, name)
		m := h.last(t)
		require.Equal(t, map[string]string{"own": "v"}, m.Attributes, name)
		require.Equal(t, []any{"8", "", 0, "s"}, []any{m.ID, m.Group, m.Attempt, m.Origin().Queue}, name)
	}
	for _, name := range []string{"message-id", "subscription-name", "ordering-key", "publish-time"} {
		header := "X-Goog-Pubsub-" + name
		require.Equal(t, 400, post(e, "raw", append(sound, header, "1", header, "2")...).Code, name)
	}
}
