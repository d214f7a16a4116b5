package drivers

import (
	"context"
	"encoding/json"
	"net/url"
)

// An Alerter says which alarms a queue should have, for a provider whose alarms
// Sluice does not make itself. It is an optional interface of an [Opener], beside
// [Provisioner]: what it returns is not a change, so that a queue that was applied
// needs no more changes.
type Alerter interface {
	// AlertPolicies returns the alarms of spec.Alarms for the queue that u names,
	// each a JSON document as the provider takes it; none where none are wanted.
	// It changes nothing. Pub/Sub: alert policies of Cloud Monitoring.
	AlertPolicies(ctx context.Context, u *url.URL, spec QueueSpec) ([]json.RawMessage, error)
}
