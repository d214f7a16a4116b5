package pubsub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	monitoring "cloud.google.com/go/monitoring/apiv3/v2"
	"cloud.google.com/go/monitoring/apiv3/v2/monitoringpb"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/sluice-go/sluice/drivers/provision"
)

// alerts returns the alert policies of Cloud Monitoring that watch the dead
// letters and the oldest message, as gcloud alpha monitoring policies create
// --policy-from-file takes them. The plan has found the subscription of the dead
// letters.
func alerts(p *planner, a *provision.Alarms) ([]json.RawMessage, error) {
	if a == nil {
		return nil, nil
	}
	w := p.wish
	var out []json.RawMessage
	if a.DeadLetters > 0 && !w.dead.zero() {
		// The comparison is "more than": Cloud Monitoring has no "at least".
		j, err := alertPolicy("sluice-"+w.sub.id+"-dead-letters", w.deadSub, metricBacklog, float64(a.DeadLetters)-1, "0s", a.Notify,
			fmt.Sprintf("Messages of %s became dead letters. Each is a job that was not done.", w.sub.id))
		if err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	if a.OldestAge > 0 {
		j, err := alertPolicy("sluice-"+w.sub.id+"-oldest-age", w.sub, metricOldest, a.OldestAge.Seconds(), "300s", a.Notify,
			fmt.Sprintf("The oldest message of %s waits for more than %v.", w.sub.id, a.OldestAge))
		if err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	return out, nil
}

// The parts of an alert policy of Cloud Monitoring that are needed, as
// https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies
// describes them.
type (
	policyJSON struct {
		DisplayName   string            `json:"displayName"`
		Documentation map[string]string `json:"documentation"`
		Combiner      string            `json:"combiner"`
		Conditions    []conditionJSON   `json:"conditions"`
		Channels      []string          `json:"notificationChannels,omitempty"`
	}
	conditionJSON struct {
		DisplayName string        `json:"displayName"`
		Threshold   thresholdJSON `json:"conditionThreshold"`
	}
	thresholdJSON struct {
		Filter       string              `json:"filter"`
		Aggregations []map[string]string `json:"aggregations"`
		Comparison   string              `json:"comparison"`
		Value        float64             `json:"thresholdValue"`
		Duration     string              `json:"duration"`
	}
)

func alertPolicy(title string, sub name, metric string, above float64, lasting, channel, text string) (json.RawMessage, error) {
	p := policyJSON{
		DisplayName: title, Documentation: map[string]string{"content": text, "mimeType": "text/markdown"}, Combiner: "OR",
		Conditions: []conditionJSON{{
			DisplayName: metric[strings.LastIndexByte(metric, '/')+1:] + " of " + sub.id + " above " + strconv.FormatFloat(above, 'f', -1, 64),
			Threshold: thresholdJSON{
				Filter:       fmt.Sprintf("%s AND metric.type = %q", watchFilter(sub), metric),
				Aggregations: []map[string]string{{"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_MAX"}},
				Comparison:   "COMPARISON_GT", Value: above, Duration: lasting,
			},
		}},
	}
	if channel != "" {
		p.Channels = []string{channel}
	}
	return json.MarshalIndent(p, "", "  ")
}

// watchFilter finds a subscription's time series.
func watchFilter(sub name) string {
	return fmt.Sprintf(`resource.type = "pubsub_subscription" AND resource.labels.subscription_id = %q`, sub.id)
}

// watched reports whether any alert policy that is on watches the backlog of a
// subscription.
func watched(ctx context.Context, c *clients, sub name) (bool, error) {
	opts := c.options
	if emulatorHost() != "" {
		opts = []option.ClientOption{option.WithGRPCConn(c.connection())}
	}
	client, err := monitoring.NewAlertPolicyClient(ctx, opts...)
	if err != nil {
		return false, err
	}
	if emulatorHost() == "" {
		defer func() { _ = client.Close() }() // it has only read
	}
	it := client.ListAlertPolicies(ctx, &monitoringpb.ListAlertPoliciesRequest{Name: "projects/" + sub.project}, once)
	for {
		p, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if p.GetEnabled() != nil && !p.GetEnabled().GetValue() {
			continue
		}
		for _, cond := range p.Conditions {
			if watches(cond, sub) {
				return true, nil
			}
		}
	}
}

// promBacklog is how PromQL writes metricBacklog.
const promBacklog = "pubsub_googleapis_com:subscription_num_undelivered_messages"

// watches reports whether a condition is about a subscription's backlog: by name, or
// about that of all.
func watches(cond *monitoringpb.AlertPolicy_Condition, sub name) bool {
	text := cond.GetConditionThreshold().GetFilter() + cond.GetConditionMonitoringQueryLanguage().GetQuery() + cond.GetConditionPrometheusQueryLanguage().GetQuery()
	if !strings.Contains(text, metricBacklog) && !strings.Contains(text, promBacklog) {
		return false
	}
	return !strings.Contains(text, "subscription_id") || strings.Contains(text, `"`+sub.id+`"`) || strings.Contains(text, "'"+sub.id+"'")
}
