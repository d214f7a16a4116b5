package pubsubtest

import (
	"context"
	"regexp"
	"time"

	"cloud.google.com/go/monitoring/apiv3/v2/monitoringpb"
	"google.golang.org/genproto/googleapis/api/metric"
	"google.golang.org/genproto/googleapis/api/monitoredres"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// metricInFlight is the number of leased messages of a subscription, a metric
// that Cloud Monitoring lacks.
const metricInFlight = "sluice.dev/pubsubfake/num_in_flight_messages"

// metrics is the part of Cloud Monitoring that reports a subscription's
// backlog. On the real service the numbers are minutes old; here they are
// current.
type metrics struct {
	peek *peephole
	monitoringpb.UnimplementedMetricServiceServer
}

var (
	projectName = regexp.MustCompile(`^projects/([^/]+)$`)
	metricType  = regexp.MustCompile(`metric\.type ?= ?"([^"]+)"`)
	resourceID  = regexp.MustCompile(`resource\.labels\.subscription_id ?= ?"([^"]+)"`)
)

func (m metrics) ListTimeSeries(_ context.Context, r *monitoringpb.ListTimeSeriesRequest) (*monitoringpb.ListTimeSeriesResponse, error) {
	project, kind, id := projectName.FindStringSubmatch(r.Name), metricType.FindStringSubmatch(r.Filter), resourceID.FindStringSubmatch(r.Filter)
	if project == nil || kind == nil || id == nil || r.GetInterval().GetEndTime() == nil {
		return nil, status.Error(codes.InvalidArgument,
			"this fake answers for one metric of one Pub/Sub subscription of one project in an interval")
	}
	d, ok := m.peek.depth("projects/" + project[1] + "/subscriptions/" + id[1])
	if !ok {
		return &monitoringpb.ListTimeSeriesResponse{}, nil
	}
	var value int64
	switch kind[1] {
	case "pubsub.googleapis.com/subscription/num_undelivered_messages":
		value = d.Visible + d.InFlight // the service counts what is not acknowledged
	case metricInFlight:
		value = d.InFlight
	case "pubsub.googleapis.com/subscription/oldest_unacked_message_age":
		if !d.Oldest.IsZero() {
			value = int64(time.Since(d.Oldest).Seconds())
		}
	default:
		return &monitoringpb.ListTimeSeriesResponse{}, nil
	}
	return &monitoringpb.ListTimeSeriesResponse{TimeSeries: []*monitoringpb.TimeSeries{{
		Metric:   &metric.Metric{Type: kind[1]},
		Resource: &monitoredres.MonitoredResource{Type: "pubsub_subscription", Labels: map[string]string{"project_id": project[1], "subscription_id": id[1]}},
		Points: []*monitoringpb.Point{{
			Interval: &monitoringpb.TimeInterval{EndTime: timestamppb.Now()},
			Value:    &monitoringpb.TypedValue{Value: &monitoringpb.TypedValue_Int64Value{Int64Value: value}},
		}},
	}}}, nil
}
