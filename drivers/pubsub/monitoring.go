package pubsub

import (
	"context"
	"errors"
	"fmt"
	"time"

	monitoring "cloud.google.com/go/monitoring/apiv3/v2"
	"cloud.google.com/go/monitoring/apiv3/v2/monitoringpb"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-go/sluice/drivers"
)

const (
	metricBacklog = "pubsub.googleapis.com/subscription/num_undelivered_messages"
	metricOldest  = "pubsub.googleapis.com/subscription/oldest_unacked_message_age"
	// Only Sluice's own fake reports metricInFlight. The service has nothing
	// like it for subscriptions that are pulled from.
	metricInFlight = "sluice.dev/pubsubfake/num_in_flight_messages"
	// metricWindow is how far back the latest sample is looked for. Samples are
	// taken every minute and show up to four minutes late.
	metricWindow = 10 * time.Minute
	metricLag    = 5 * time.Minute
)

// errNoMetrics means that the emulator has no Cloud Monitoring.
var errNoMetrics = errors.New("no metrics here")

// A backlog is the unacknowledged messages of a subscription. A number that is
// not told is [drivers.Unknown].
type backlog struct {
	visible, inFlight int64 // visible counts those in flight as well where inFlight is unknown
	oldest            time.Duration
	lag               time.Duration // how far they can be behind
}

// A monitor reads backlogs from Cloud Monitoring.
type monitor struct{ *clients }

// monitored reads a subscription's backlog from Cloud Monitoring.
func (c monitor) monitored(ctx context.Context, sub name) (b backlog, err error) {
	b = backlog{inFlight: drivers.Unknown, oldest: drivers.Unknown}
	if c.noMetrics.Load() {
		return b, errNoMetrics
	}
	if b.visible, err = c.latest(ctx, sub, metricBacklog); err != nil {
		return b, err
	}
	secs, err := c.latest(ctx, sub, metricOldest)
	if err != nil {
		return b, err
	}
	if secs >= 0 {
		b.oldest = time.Duration(secs) * time.Second
	}
	if !c.emulated {
		b.lag = metricLag
		return b, nil
	}
	if b.inFlight, err = c.latest(ctx, sub, metricInFlight); err == nil && b.inFlight >= 0 && b.visible >= 0 {
		b.visible = max(b.visible-b.inFlight, 0)
	}
	return b, err
}

// latest reads the newest sample of a metric, or [drivers.Unknown].
func (c monitor) latest(ctx context.Context, sub name, metric string) (int64, error) {
	client, err := c.metricClient(ctx, sub)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	it := client.ListTimeSeries(ctx, &monitoringpb.ListTimeSeriesRequest{
		Name:     "projects/" + sub.project,
		Filter:   fmt.Sprintf("metric.type = %q AND resource.labels.subscription_id = %q", metric, sub.id),
		Interval: &monitoringpb.TimeInterval{StartTime: timestamppb.New(now.Add(-metricWindow)), EndTime: timestamppb.New(now)},
		View:     monitoringpb.ListTimeSeriesRequest_FULL,
		PageSize: 1,
	}, once)
	series, err := it.Next()
	switch {
	case errors.Is(err, iterator.Done):
		return drivers.Unknown, nil
	case status.Code(err) == codes.Unimplemented && c.emulated:
		c.noMetrics.Store(true)
		return 0, errNoMetrics
	case status.Code(err) == codes.PermissionDenied:
		return 0, drivers.Wrap(ctx, drivers.Denied, sub.String(), "depth", err,
			"grant roles/monitoring.viewer on the project: Pub/Sub tells the size of a backlog through Cloud Monitoring only")
	case err != nil:
		return 0, wrap(ctx, sub, "depth", err)
	}
	if points := series.GetPoints(); len(points) > 0 { // newest first
		return points[0].GetValue().GetInt64Value(), nil
	}
	return drivers.Unknown, nil
}

// metricClient returns the client, making it the first time: most programs never
// ask for a depth.
func (c monitor) metricClient(ctx context.Context, sub name) (*monitoring.MetricClient, error) {
	c.metricsMu.Lock()
	defer c.metricsMu.Unlock()
	if c.metrics != nil {
		return c.metrics, nil
	}
	opts := c.options
	if c.emulated {
		opts = []option.ClientOption{option.WithGRPCConn(c.connection())}
	}
	m, err := monitoring.NewMetricClient(ctx, opts...)
	if err != nil {
		return nil, drivers.Wrap(ctx, drivers.Denied, sub.String(), "depth", err,
			"Cloud Monitoring, which knows the size of a backlog, needs credentials of its own: run gcloud auth application-default login")
	}
	c.metrics, c.ownMetrics = m, !c.emulated // an emulator's connection is Pub/Sub's
	return m, nil
}
