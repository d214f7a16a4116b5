package pubsub_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/monitoring/apiv3/v2/monitoringpb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/internal/lookonly"
)

func findings(t *testing.T, q pubsubtest.Queue, s *provision.Spec, h ...admin.Handlers) []string {
	t.Helper()
	return found(t, provisioner(), url(q.Subscription()), s, h...)
}

func found(t *testing.T, o *pubsub.Opener, u string, s *provision.Spec, h ...admin.Handlers) []string {
	t.Helper()
	fs, err := examine(t, o, parsed(t, u), s, h...)
	require.NoError(t, err)
	out := []string{}
	for _, f := range fs {
		require.NotEmpty(t, f.Queue, f.ID)
		require.NotEmpty(t, f.Fact, f.ID)
		require.NotEmpty(t, f.Why, f.ID)
		require.NotEmpty(t, f.Remedy.Kind, f.ID)
		out = append(out, string(f.Severity)+" "+f.ID)
	}
	slices.Sort(out)
	return out
}

func TestASoundQueueGivesNoFinding(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		for _, kept := range []time.Duration{0, 31 * 24 * time.Hour} {
			q, s := unmade(t), wanted()
			s.FIFO, s.Retention, s.DeadLetter.Retention = fifo, kept, kept
			apply(t, q, s)
			require.Empty(t, findings(t, q, &s))
			require.Empty(t, findings(t, q, nil))
			require.Empty(t, found(t, &pubsub.Opener{}, url(q.Subscription()), &s), "without the project's number")
		}
	}
}

// A wish is a specification with what is known of the handlers.
type wish struct {
	provision.Spec
	handlers admin.Handlers
}

func TestFindings(t *testing.T) {
	withoutSub := func(t *testing.T, q pubsubtest.Queue) {
		_, err := administer(t).sub.DeleteSubscription(t.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: q.Subscription()})
		require.NoError(t, err)
	}
	revoke := func(t *testing.T, resource, other string) {
		_, err := administer(t).iam.SetIamPolicy(t.Context(), &iampb.SetIamPolicyRequest{Resource: resource, Policy: &iampb.Policy{
			Bindings: []*iampb.Binding{{Role: "roles/pubsub.publisher", Members: []string{other}}, {Role: "roles/pubsub.subscriber", Members: []string{other}}}}})
		require.NoError(t, err)
	}
	for _, c := range []struct {
		name  string
		build func(t *testing.T, q pubsubtest.Queue, s *wish)
		want  []string
		// configured has the specification be known.
		configured bool
	}{
		{"no dead-letter policy", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			change(t, q, &pubsubpb.Subscription{}, "dead_letter_policy")
		}, []string{"major no-dead-letter"}, false},
		{"the dead-letter topic is gone", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			withFault(t, func(_ context.Context, _ string, req any, next func() (any, error)) (any, error) {
				if r, ok := req.(*pubsubpb.GetTopicRequest); ok && r.Topic == q.DeadLetter().Topic() { // pstest deletes none that is in use
					return nil, status.Error(codes.NotFound, "it was deleted")
				}
				return next()
			})
		}, []string{"critical dlq-missing"}, false},
		{"the dead-letter topic is gone, as the service tells it", func(t *testing.T, _ pubsubtest.Queue, _ *wish) {
			withFault(t, func(_ context.Context, method string, _ any, next func() (any, error)) (any, error) {
				resp, err := next()
				if sub, ok := resp.(*pubsubpb.Subscription); ok && method == "GetSubscription" {
					sub.DeadLetterPolicy.DeadLetterTopic = "_deleted-topic_"
				}
				return resp, err
			})
		}, []string{"critical dlq-missing"}, false},
		{"nobody reads the dead-letter topic", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			withoutSub(t, q.DeadLetter())
		}, []string{"critical dlq-no-subscription"}, false},
		{"the service may not publish letters", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			revoke(t, q.DeadLetter().Topic(), "user:someone@example.com")
		}, []string{"critical grants-missing"}, false},
		{"the service may not acknowledge", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			revoke(t, q.Subscription(), strings.Replace(agent, "42", "43", 1)) // another project's
		}, []string{"critical grants-missing"}, false},
		{"letters live for less than messages", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			change(t, q.DeadLetter(), &pubsubpb.Subscription{MessageRetentionDuration: durationpb.New(24 * time.Hour)}, "message_retention_duration")
		}, []string{"critical dlq-retention"}, false},
		{"the subscription expires", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			change(t, q, &pubsubpb.Subscription{ExpirationPolicy: &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(24 * time.Hour)}}, "expiration_policy")
		}, []string{"major subscription-expires"}, false},
		{"the dead letters' subscription expires", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			change(t, q.DeadLetter(), &pubsubpb.Subscription{}, "expiration_policy") // the service's default: 31 days
		}, []string{"major subscription-expires"}, false},
		{"no retry policy", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			change(t, q, &pubsubpb.Subscription{}, "retry_policy")
		}, []string{"major no-retry-policy"}, false},
		{"no redrive filter", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			sub := subscription(t, q)
			withoutSub(t, q)
			sub.Filter = ""
			_, err := administer(t).sub.CreateSubscription(t.Context(), sub)
			require.NoError(t, err)
		}, []string{"minor no-redrive-filter"}, false},
		{"letters", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			deadLetters(t, q, 3)
		}, []string{"major letters-present"}, false},
		{"letters near their end", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			deadLetters(t, q, 1)
			withFault(t, func(_ context.Context, _ string, _ any, next func() (any, error)) (any, error) {
				resp, err := next()
				r, ok := resp.(*pubsubpb.PullResponse)
				if !ok {
					return resp, err
				}
				r = proto.CloneOf(r) // its messages are the fake's own
				for _, rm := range r.ReceivedMessages {
					rm.Message.PublishTime = timestamppb.New(time.Now().Add(-11 * 24 * time.Hour)) // of 14
				}
				return r, err
			})
		}, []string{"critical letters-expire", "major letters-present"}, false},
		{"letters that cannot be counted", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			deadLetters(t, q, 1)
			withFault(t, failing("ListTimeSeries", codes.PermissionDenied))
		}, []string{"major letters-present"}, false},
		{"an old message", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			send(t, openSink(t, q), text("x"))
			withFault(t, aged(q, 49*time.Hour))
		}, []string{"major oldest-message"}, false},
		{"a message that is not old yet", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			withFault(t, aged(q, 47*time.Hour))
		}, []string{}, false},
		{"the topic is gone", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			_, err := administer(t).pub.DeleteTopic(t.Context(), &pubsubpb.DeleteTopicRequest{Topic: q.Topic()})
			require.NoError(t, err)
		}, []string{"critical topic-missing"}, false},
		{"handlers outlast the ack deadline", func(_ *testing.T, _ pubsubtest.Queue, s *wish) {
			s.handlers.P99 = time.Minute
		}, []string{"critical visibility-short"}, true},
		{"handlers outlast the ack deadline with a heartbeat", func(_ *testing.T, _ pubsubtest.Queue, s *wish) {
			s.handlers = admin.Handlers{P99: time.Minute, Heartbeat: true}
		}, []string{}, true},
		{"no room for other deliveries", func(_ *testing.T, _ pubsubtest.Queue, s *wish) {
			s.handlers.MaxAttempts = 7
		}, []string{"major attempts-headroom"}, true},
		{"room for other deliveries", func(_ *testing.T, _ pubsubtest.Queue, s *wish) {
			s.handlers.MaxAttempts = 6
		}, []string{}, true},
		{"no ordering", func(_ *testing.T, _ pubsubtest.Queue, s *wish) {
			s.FIFO = true
		}, []string{"critical ordering-off", "minor drift"}, true},
		{"letters out of order", func(t *testing.T, q pubsubtest.Queue, s *wish) {
			s.FIFO = true
			for _, one := range []pubsubtest.Queue{q, q.DeadLetter()} {
				withoutSub(t, one)
			}
			_, err := administer(t).sub.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: q.DeadLetter().Subscription(), Topic: q.DeadLetter().Topic(),
				ExpirationPolicy: &pubsubpb.ExpirationPolicy{}})
			require.NoError(t, err)
			apply(t, q, s.Spec)
		}, []string{"major dlq-kind"}, false},
		{"drift", func(_ *testing.T, _ pubsubtest.Queue, s *wish) {
			s.VisibilityTimeout = 5 * time.Minute
		}, []string{"minor drift"}, true},
		{"no alarm", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			withFault(t, alerts(q.ID, true))
		}, []string{"minor no-alarm"}, false},
		{"an alarm that is off", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			withFault(t, alerts(q.ID+"-dlq", false))
		}, []string{"minor no-alarm"}, false},
		{"an alarm", func(t *testing.T, q pubsubtest.Queue, _ *wish) {
			withFault(t, alerts(q.ID+"-dlq", true))
		}, []string{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, s := unmade(t), wish{Spec: wanted()}
			apply(t, q, s.Spec)
			c.build(t, q, &s)
			if c.configured {
				require.Equal(t, c.want, findings(t, q, &s.Spec, s.handlers))
				return
			}
			require.Equal(t, c.want, findings(t, q, nil, s.handlers))
		})
	}
}

// deadLetters rejects n messages.
func deadLetters(t *testing.T, q pubsubtest.Queue, n int) {
	t.Helper()
	src, sink := openSource(t, q, ""), openSink(t, q)
	for range n {
		send(t, sink, text("poison"))
		settle(t, src, rejection(receive(t, src, 1)[0], "poison"))
	}
}

// aged has Cloud Monitoring report an age of a queue's oldest message.
func aged(q pubsubtest.Queue, age time.Duration) pubsubtest.Fault {
	return func(_ context.Context, _ string, req any, next func() (any, error)) (any, error) {
		r, ok := req.(*monitoringpb.ListTimeSeriesRequest)
		if !ok || !strings.Contains(r.Filter, "oldest_unacked_message_age") || !strings.Contains(r.Filter, `"`+q.ID+`"`) {
			return next()
		}
		return &monitoringpb.ListTimeSeriesResponse{TimeSeries: []*monitoringpb.TimeSeries{{Points: []*monitoringpb.Point{{
			Value: &monitoringpb.TypedValue{Value: &monitoringpb.TypedValue_Int64Value{Int64Value: int64(age.Seconds())}},
		}}}}}, nil
	}
}

// A subscription of letters with a dead-letter topic of its own could lose them to that by a
// look: they are counted only.
func TestADiagnosisMovesNoLetters(t *testing.T) {
	q := unmade(t)
	apply(t, q, wanted())
	deadLetters(t, q, 1)
	change(t, q.DeadLetter(), &pubsubpb.Subscription{
		DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: q.Topic(), MaxDeliveryAttempts: 5},
	}, "dead_letter_policy")
	defer func() { // a topic that it names cannot be deleted
		_, err := administer(t).sub.DeleteSubscription(t.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: q.DeadLetter().Subscription()})
		require.NoError(t, err)
	}()
	pulled := false
	withFault(t, func(_ context.Context, method string, _ any, next func() (any, error)) (any, error) {
		pulled = pulled || method == "Pull"
		return next()
	})
	require.Contains(t, findings(t, q, nil), "major letters-present")
	require.False(t, pulled)
}

// Whoever only looks learns from Cloud Monitoring that letters are near their end.
func TestOldLettersForThoseWhoOnlyLook(t *testing.T) {
	q := unmade(t)
	apply(t, q, wanted())
	deadLetters(t, q, 1)
	for age, want := range map[time.Duration]bool{30 * 24 * time.Hour: true, time.Hour: false} {
		told, pulled := aged(q.DeadLetter(), age), false
		withFault(t, func(ctx context.Context, method string, req any, next func() (any, error)) (any, error) {
			pulled = pulled || method == "Pull"
			return told(ctx, method, req, next)
		})
		s := wanted()
		found, err := admin.Examine(lookonly.Context(t.Context()), drivers.NewMux(provisioner()), []admin.Target{{URL: url(q.Subscription()), Spec: &s}})
		require.NoError(t, err)
		expires := slices.ContainsFunc(found, func(f admin.Finding) bool { return f.ID == "letters-expire" })
		require.Equal(t, want, expires, "%v: %v", age, found)
		require.False(t, pulled)
	}
}

// alerts has Cloud Monitoring know one alert policy, on a subscription's backlog.
func alerts(subscription string, on bool) pubsubtest.Fault {
	return func(_ context.Context, method string, _ any, next func() (any, error)) (any, error) {
		if method != "ListAlertPolicies" {
			return next()
		}
		return &monitoringpb.ListAlertPoliciesResponse{AlertPolicies: []*monitoringpb.AlertPolicy{{
			Enabled: wrapperspb.Bool(on),
			Conditions: []*monitoringpb.AlertPolicy_Condition{{Condition: &monitoringpb.AlertPolicy_Condition_ConditionThreshold{
				ConditionThreshold: &monitoringpb.AlertPolicy_Condition_MetricThreshold{
					Filter: `metric.type = "pubsub.googleapis.com/subscription/num_undelivered_messages" AND resource.labels.subscription_id = "` + subscription + `"`,
				}}}},
		}}}, nil
	}
}

// The command that a finding names mends the fault.
func TestApplyMendsWhatDoctorFinds(t *testing.T) {
	q, s := unmade(t), wanted()
	s.Retention = 0 // as it is: to shorten it would have to be allowed
	require.NoError(t, fake.Create(t.Context(), pubsubtest.Queue{Project: q.Project, ID: q.ID,
		Filter: `NOT attributes:sluice-redrive-target OR attributes.sluice-redrive-target = "` + q.Subscription() + `"`}))
	require.Equal(t, []string{"major no-dead-letter", "major no-retry-policy", "major subscription-expires", "minor drift"}, findings(t, q, &s))
	apply(t, q, s)
	require.Empty(t, plan(t, q, s))
	require.Empty(t, findings(t, q, &s))
}

func TestDiagnosisByTheURLsParameters(t *testing.T) {
	q, s := unmade(t), wanted()
	apply(t, q, s)
	require.Empty(t, found(t, provisioner(), url(q.Subscription())+"?ack_deadline=300s", &s, admin.Handlers{P99: 2 * time.Minute}), "the lease is what the URL says")
	require.Equal(t, []string{"critical dlq-no-subscription"},
		found(t, provisioner(), url(q.Subscription())+"?dead_letter_subscription=nobody", nil))
	require.Equal(t, []string{"critical grants-missing", "critical grants-missing"},
		found(t, provisioner(), url(q.Subscription())+"?project_number=7", nil))
	unknown := &pubsub.Opener{ProjectNumber: func(context.Context, string) (string, error) { return "", errors.New("no permission") }}
	require.Empty(t, found(t, unknown, url(q.Subscription()), nil), "some project's service agent has the grants")
}

func TestADiagnosisOfNoQueue(t *testing.T) {
	_, err := examine(t, provisioner(), parsed(t, "gcppubsub://projects/p/subscriptions/none"), nil)
	require.ErrorIs(t, err, drivers.ErrNotFound)
	require.ErrorContains(t, err, "its configuration")
	_, err = examine(t, provisioner(), parsed(t, "gcppubsub://projects/p/topics/t"), nil)
	require.ErrorIs(t, err, drivers.ErrInvalid)
}
