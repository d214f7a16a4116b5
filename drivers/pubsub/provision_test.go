package pubsub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	neturl "net/url"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/monitoring/apiv3/v2/monitoringpb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

const agent = "serviceAccount:service-42@gcp-sa-pubsub.iam.gserviceaccount.com"

// provisioner knows the project's number, so that grants are looked at.
func provisioner() *pubsub.Opener {
	return &pubsub.Opener{ProjectNumber: func(context.Context, string) (string, error) { return "42", nil }}
}

func wanted() provision.Spec {
	return provision.Spec{
		Name: "orders", VisibilityTimeout: time.Minute, Retention: 4 * 24 * time.Hour,
		DeadLetter: &provision.DeadLetter{MaxAttempts: 7, Retention: 14 * 24 * time.Hour},
		Retry:      &provision.Retry{Min: time.Second, Max: 10 * time.Minute},
		Tags:       map[string]string{"team": "payments"},
	}
}

// unmade is a queue that does not exist yet. It is deleted after the test.
func unmade(t *testing.T) pubsubtest.Queue {
	t.Helper()
	q := pubsubtest.Queue{Project: project, ID: fmt.Sprintf("made-%d", queues.Add(1)), MaxAttempts: 7}
	t.Cleanup(func() { require.NoError(t, fake.Delete(context.Background(), q)) })
	return q
}

func parsed(t *testing.T, raw string) *neturl.URL {
	t.Helper()
	u, err := neturl.Parse(raw)
	require.NoError(t, err)
	return u
}

func queueURL(t *testing.T, q pubsubtest.Queue) *neturl.URL {
	t.Helper()
	return parsed(t, url(q.Subscription()))
}

// shown are changes as "kind resource field", without the queue's own name.
func shown(q pubsubtest.Queue, cs []provision.Change) []string {
	out := []string{}
	for _, c := range cs {
		out = append(out, strings.TrimSpace(strings.ReplaceAll(string(c.Kind)+" "+c.Resource+" "+c.Field, q.ID, "Q")))
	}
	return out
}

func apply(t *testing.T, q pubsubtest.Queue, s provision.Spec) []provision.Change {
	t.Helper()
	done, err := applyTo(t, provisioner(), queueURL(t, q), s, false)
	require.NoError(t, err)
	return done
}

func plan(t *testing.T, q pubsubtest.Queue, s provision.Spec) []provision.Change {
	t.Helper()
	cs, err := planOf(t, provisioner(), queueURL(t, q), s)
	require.NoError(t, err)
	return cs
}

type administrator struct {
	pub pubsubpb.PublisherClient
	sub pubsubpb.SubscriberClient
	iam iampb.IAMPolicyClient
}

// administer talks to the fake as another program would.
func administer(t *testing.T) administrator {
	t.Helper()
	conn, err := grpc.NewClient(fake.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return administrator{pubsubpb.NewPublisherClient(conn), pubsubpb.NewSubscriberClient(conn), iampb.NewIAMPolicyClient(conn)}
}

func subscription(t *testing.T, q pubsubtest.Queue) *pubsubpb.Subscription {
	t.Helper()
	s, err := administer(t).sub.GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: q.Subscription()})
	require.NoError(t, err)
	return s
}

func change(t *testing.T, q pubsubtest.Queue, to *pubsubpb.Subscription, paths ...string) {
	t.Helper()
	to.Name = q.Subscription()
	_, err := administer(t).sub.UpdateSubscription(t.Context(), &pubsubpb.UpdateSubscriptionRequest{
		Subscription: to, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}})
	require.NoError(t, err)
}

func TestApplyMakesWhatIsWished(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		q, s := unmade(t), wanted()
		s.FIFO, s.ExactlyOnce, s.RetainAcked = fifo, fifo, fifo
		want := []string{
			"create pubsub topic Q", "create pubsub topic Q-dlq", "create pubsub subscription Q-dlq", "create pubsub subscription Q",
			"grant pubsub topic Q-dlq iam", "grant pubsub subscription Q iam",
		}
		require.Equal(t, want, shown(q, plan(t, q, s)))
		done := apply(t, q, s)
		require.Equal(t, want, shown(q, done))
		for _, c := range done {
			require.True(t, c.Applied, c)
			require.False(t, c.Destructive, c)
			require.Equal(t, "orders", c.Queue)
		}
		require.Empty(t, apply(t, q, s), "the second time there is nothing to do")
		require.Empty(t, plan(t, q, s))

		main, dead := subscription(t, q), subscription(t, q.DeadLetter())
		require.EqualValues(t, 60, main.AckDeadlineSeconds)
		require.Equal(t, 4*24*time.Hour, main.MessageRetentionDuration.AsDuration())
		require.Equal(t, q.DeadLetter().Topic(), main.DeadLetterPolicy.DeadLetterTopic)
		require.EqualValues(t, 7, main.DeadLetterPolicy.MaxDeliveryAttempts)
		require.Equal(t, time.Second, main.RetryPolicy.MinimumBackoff.AsDuration())
		require.Equal(t, 10*time.Minute, main.RetryPolicy.MaximumBackoff.AsDuration())
		require.Equal(t, fifo, main.EnableMessageOrdering)
		require.Equal(t, fifo, main.EnableExactlyOnceDelivery)
		require.Equal(t, fifo, main.RetainAckedMessages)
		require.Equal(t, `NOT attributes:sluice-redrive-target OR attributes.sluice-redrive-target = "`+q.Subscription()+`"`, main.Filter)
		require.Equal(t, fifo, dead.EnableMessageOrdering)
		require.Equal(t, 14*24*time.Hour, dead.MessageRetentionDuration.AsDuration())
		require.Empty(t, dead.Filter)
		for _, sub := range []*pubsubpb.Subscription{main, dead} {
			require.NotNil(t, sub.ExpirationPolicy)
			require.Nil(t, sub.ExpirationPolicy.Ttl, "it never expires")
			require.Equal(t, "payments", sub.Labels["team"])
		}
		for resource, role := range map[string]string{q.DeadLetter().Topic(): "roles/pubsub.publisher", q.Subscription(): "roles/pubsub.subscriber"} {
			p, err := administer(t).iam.GetIamPolicy(t.Context(), &iampb.GetIamPolicyRequest{Resource: resource})
			require.NoError(t, err)
			require.Len(t, p.Bindings, 1)
			require.Equal(t, role, p.Bindings[0].Role)
			require.Equal(t, []string{agent}, p.Bindings[0].Members)
		}
		// The queue works.
		src := openSource(t, q, "")
		require.Equal(t, q.ID+"-dlq", src.Capabilities().DeadLetterQueue)
		require.Equal(t, 7, src.Capabilities().MaxAttempts)
		send(t, openSink(t, q), text("x"))
		settle(t, src, act(receive(t, src, 1)[0], handler.ActionAck))
	}
}

// The filter lets through what has no target and what has this one.
func TestTheRedriveFilter(t *testing.T) {
	q, other := unmade(t), unmade(t)
	apply(t, q, wanted())
	_, err := applyTo(t, provisioner(), parsed(t, url(other.Subscription())+"?topic="+q.ID), wanted(), false)
	require.NoError(t, err)
	for _, m := range []struct{ body, target string }{{"everyone's", ""}, {"mine", q.Subscription()}, {"the other's", other.Subscription()}} {
		pm := &pubsubpb.PubsubMessage{Data: []byte(m.body), Attributes: map[string]string{"own": "kept"}}
		if m.target != "" {
			pm.Attributes["sluice-redrive-target"] = m.target
		}
		_, err := administer(t).pub.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: q.Topic(), Messages: []*pubsubpb.PubsubMessage{pm}})
		require.NoError(t, err)
	}
	bodies := func(q pubsubtest.Queue) (got []string) {
		resp, err := administer(t).sub.Pull(t.Context(), &pubsubpb.PullRequest{Subscription: q.Subscription(), MaxMessages: 10})
		require.NoError(t, err)
		for _, rm := range resp.ReceivedMessages {
			got = append(got, string(rm.Message.Data))
		}
		return got
	}
	require.ElementsMatch(t, []string{"everyone's", "mine"}, bodies(q))
	require.ElementsMatch(t, []string{"everyone's", "the other's"}, bodies(other))
}

// A filter has at most 256 bytes: a long name has none, and its consumers skip
// what is not theirs.
func TestANameThatIsTooLongForAFilter(t *testing.T) {
	q := unmade(t)
	q.ID += strings.Repeat("x", 150)
	t.Cleanup(func() { require.NoError(t, fake.Delete(context.Background(), q)) })
	apply(t, q, wanted())
	require.Empty(t, subscription(t, q).Filter)
	require.Empty(t, plan(t, q, wanted()))
	require.Empty(t, findings(t, q, nil))
}

func TestDriftIsPlannedAndMended(t *testing.T) {
	q, s := unmade(t), wanted()
	apply(t, q, s)
	change(t, q, &pubsubpb.Subscription{AckDeadlineSeconds: 10, ExpirationPolicy: &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(24 * time.Hour)}},
		"ack_deadline_seconds", "expiration_policy", "retry_policy")
	change(t, q.DeadLetter(), &pubsubpb.Subscription{Labels: map[string]string{"own": "kept"}}, "expiration_policy", "labels")
	policy, err := administer(t).iam.GetIamPolicy(t.Context(), &iampb.GetIamPolicyRequest{Resource: q.Subscription()})
	require.NoError(t, err)
	policy.Bindings = []*iampb.Binding{{Role: "roles/pubsub.subscriber", Members: []string{"user:someone@example.com"}}}
	_, err = administer(t).iam.SetIamPolicy(t.Context(), &iampb.SetIamPolicyRequest{Resource: q.Subscription(), Policy: policy})
	require.NoError(t, err)
	s.DeadLetter.MaxAttempts = 9
	s.Retention, s.ExactlyOnce, s.RetainAcked = 5*24*time.Hour, true, true
	s.Tags["cost"] = "7"

	got := plan(t, q, s)
	require.ElementsMatch(t, []string{
		"update pubsub topic Q tags.cost", "update pubsub topic Q-dlq tags.cost",
		"update pubsub subscription Q-dlq expiration", "update pubsub subscription Q-dlq tags.cost", "update pubsub subscription Q-dlq tags.team",
		"update pubsub subscription Q visibility_timeout", "update pubsub subscription Q expiration", "update pubsub subscription Q retention",
		"update pubsub subscription Q exactly_once", "update pubsub subscription Q retain_acked", "update pubsub subscription Q retry",
		"update pubsub subscription Q dead_letter", "update pubsub subscription Q tags.cost", "grant pubsub subscription Q iam",
	}, shown(q, got))
	for _, c := range got {
		require.False(t, c.Destructive, c)
		require.NotEmpty(t, c.To, c)
	}
	apply(t, q, s)
	require.Empty(t, plan(t, q, s))
	require.Equal(t, map[string]string{"own": "kept", "team": "payments", "cost": "7"}, subscription(t, q.DeadLetter()).Labels)
	policy, err = administer(t).iam.GetIamPolicy(t.Context(), &iampb.GetIamPolicyRequest{Resource: q.Subscription()})
	require.NoError(t, err)
	require.Equal(t, []string{"user:someone@example.com", agent}, policy.Bindings[0].Members)
}

func TestWhatIsNotSpecifiedIsLeftAlone(t *testing.T) {
	q, s := unmade(t), wanted()
	s.FIFO, s.ExactlyOnce, s.RetainAcked = true, true, true
	apply(t, q, s)
	require.Empty(t, plan(t, q, provision.Spec{DeadLetter: &provision.DeadLetter{MaxAttempts: 7, Retention: s.DeadLetter.Retention}}))
}

func TestWhatCanLoseMessagesMustBeAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *provision.Spec)
		field  string
		still  func(t *testing.T, q pubsubtest.Queue)
	}{
		"a shorter retention": {func(s *provision.Spec) { s.Retention = time.Hour }, "retention", func(t *testing.T, q pubsubtest.Queue) {
			require.Equal(t, 4*24*time.Hour, subscription(t, q).MessageRetentionDuration.AsDuration())
		}},
		"letters are kept for less": {func(s *provision.Spec) { s.DeadLetter.Retention = 5 * 24 * time.Hour }, "retention", func(t *testing.T, q pubsubtest.Queue) {
			require.Equal(t, 14*24*time.Hour, subscription(t, q.DeadLetter()).MessageRetentionDuration.AsDuration())
		}},
		"no dead-letter topic": {func(s *provision.Spec) { s.DeadLetter = nil }, "dead_letter", func(t *testing.T, q pubsubtest.Queue) {
			require.NotNil(t, subscription(t, q).DeadLetterPolicy)
		}},
		"another dead-letter topic": {func(s *provision.Spec) { s.DeadLetter.Name = "another-dlq" }, "dead_letter", func(t *testing.T, q pubsubtest.Queue) {
			require.Equal(t, q.DeadLetter().Topic(), subscription(t, q).DeadLetterPolicy.DeadLetterTopic)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { // after the queue that uses it
				require.NoError(t, fake.Delete(context.Background(), pubsubtest.Queue{Project: project, ID: "another-dlq"}))
			})
			q, s := unmade(t), wanted()
			apply(t, q, s)
			c.change(&s)
			held := 0
			for _, done := range apply(t, q, s) {
				if done.Destructive {
					held++
					require.Equal(t, c.field, done.Field)
				}
				require.Equal(t, !done.Destructive, done.Applied, done)
			}
			require.Equal(t, 1, held)
			c.still(t, q)
			_, err := applyTo(t, provisioner(), queueURL(t, q), s, true)
			require.NoError(t, err)
			require.Empty(t, plan(t, q, s))
		})
	}
}

func TestWhatCannotBeChangedIsToldWithTheWayOut(t *testing.T) {
	for name, c := range map[string]struct {
		build func(t *testing.T, q pubsubtest.Queue)
		query string
		field string
		way   string
	}{
		"no filter": {func(t *testing.T, q pubsubtest.Queue) {
			require.NoError(t, fake.Create(t.Context(), pubsubtest.Queue{Project: q.Project, ID: q.ID, Ordered: true}))
		}, "", "filter", "drain this one"},
		"no ordering": {func(t *testing.T, q pubsubtest.Queue) {
			s := wanted()
			s.DeadLetter = nil
			apply(t, q, s)
		}, "", "fifo", "drain this one"},
		"another topic": {func(t *testing.T, q pubsubtest.Queue) { apply(t, q, wanted()) }, "?topic=elsewhere", "topic", "stays on its topic"},
		"a deleted topic": {func(t *testing.T, q pubsubtest.Queue) {
			apply(t, q, wanted())
			_, err := administer(t).pub.DeleteTopic(t.Context(), &pubsubpb.DeleteTopicRequest{Topic: q.Topic()})
			require.NoError(t, err)
		}, "", "topic", "gcloud pubsub subscriptions delete"},
		"a deleted dead-letter topic": {func(t *testing.T, q pubsubtest.Queue) {
			a, topic := administer(t), q.DeadLetter().Topic()
			_, err := a.pub.CreateTopic(t.Context(), &pubsubpb.Topic{Name: topic})
			require.NoError(t, err)
			_, err = a.sub.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: q.DeadLetter().Subscription(), Topic: topic})
			require.NoError(t, err)
			_, err = a.pub.DeleteTopic(t.Context(), &pubsubpb.DeleteTopicRequest{Topic: topic})
			require.NoError(t, err)
		}, "", "topic", "dead_letter_subscription"},
		"it pushes": {func(t *testing.T, q pubsubtest.Queue) {
			apply(t, q, wanted())
			change(t, q, &pubsubpb.Subscription{PushConfig: &pubsubpb.PushConfig{PushEndpoint: "https://example.com"}}, "push_config")
		}, "", "delivery", "another subscription"},
		"unordered letters": {func(t *testing.T, q pubsubtest.Queue) {
			require.NoError(t, fake.Create(t.Context(), q.DeadLetter()))
			s := wanted()
			s.FIFO = true
			apply(t, q, s)
		}, "", "fifo", "when it is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			q, s := unmade(t), wanted()
			s.FIFO = true
			c.build(t, q)
			done, err := applyTo(t, provisioner(), parsed(t, url(q.Subscription())+c.query), s, true)
			require.NoError(t, err)
			replaced := 0
			for _, change := range done {
				if change.Kind == provision.Replace {
					replaced++
					require.Equal(t, c.field, change.Field)
					require.Contains(t, change.Remedy, c.way)
					require.False(t, change.Applied)
				}
			}
			require.Equal(t, 1, replaced, done)
			again, err := planOf(t, provisioner(), parsed(t, url(q.Subscription())+c.query), s)
			require.NoError(t, err)
			require.Len(t, again, 1, "only what cannot be done is left")
		})
	}
}

func TestASubscriptionOfTheDeadLettersThatIsThereIsKept(t *testing.T) {
	q, s := unmade(t), wanted()
	a := administer(t)
	_, err := a.pub.CreateTopic(t.Context(), &pubsubpb.Topic{Name: q.DeadLetter().Topic()})
	require.NoError(t, err)
	other := pubsubtest.Queue{Project: project, ID: q.ID + "-readers"}
	_, err = a.sub.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: other.Subscription(), Topic: q.DeadLetter().Topic()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fake.Delete(context.Background(), other)) })
	require.Contains(t, shown(q, apply(t, q, s)), "update pubsub subscription Q-readers expiration")
	require.Empty(t, plan(t, q, s))
	resp, err := a.pub.ListTopicSubscriptions(t.Context(), &pubsubpb.ListTopicSubscriptionsRequest{Topic: q.DeadLetter().Topic()})
	require.NoError(t, err)
	require.Equal(t, []string{other.Subscription()}, resp.Subscriptions)
}

func TestNamesInTheURL(t *testing.T) {
	q, s := unmade(t), wanted()
	s.DeadLetter.Retention = 0
	query := fmt.Sprintf("?topic=%[1]s-events&dead_letter=%[1]s-dlq&dead_letter_subscription=%[1]s-dlq&project_number=7", q.ID)
	u := parsed(t, url(q.Subscription())+query)
	t.Cleanup(func() {
		require.NoError(t, fake.Delete(context.Background(), pubsubtest.Queue{Project: project, ID: q.ID + "-events"}))
	})
	done, err := applyTo(t, &pubsub.Opener{}, u, s, false)
	require.NoError(t, err)
	require.Contains(t, done[len(done)-1].To, "service-7@")
	require.Equal(t, "projects/"+project+"/topics/"+q.ID+"-events", subscription(t, q).Topic)
	again, err := planOf(t, &pubsub.Opener{}, queueURL(t, q), s)
	require.NoError(t, err)
	require.Empty(t, again, "the subscription's own topic is as good as one that is named")
	src := openSource(t, q, query)
	require.Equal(t, q.ID+"-dlq", src.Capabilities().DeadLetterQueue)
	sink, err := mux().OpenSink(t.Context(), u.String(), nil)
	require.NoError(t, err)
	require.NoError(t, sink.Close())
}

func TestSpecificationsThatPubSubCannotMeet(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(s *provision.Spec)
		query  string
		want   string
	}{
		{"ack deadline too short", func(s *provision.Spec) { s.VisibilityTimeout = 9 * time.Second }, "", "from 10s to 10m0s"},
		{"ack deadline too long", func(s *provision.Spec) { s.VisibilityTimeout = 11 * time.Minute }, "", "from 10s to 10m0s"},
		{"part of a second", func(s *provision.Spec) { s.VisibilityTimeout = 10500 * time.Millisecond }, "", "whole seconds"},
		{"retention too long", func(s *provision.Spec) { s.Retention = 32 * 24 * time.Hour }, "", "31 days"},
		{"retention too short", func(s *provision.Spec) { s.Retention = time.Minute }, "", "10 minutes"},
		{"too few attempts", func(s *provision.Spec) { s.DeadLetter.MaxAttempts = 4 }, "", "accepts 5 to 100"},
		{"too many attempts", func(s *provision.Spec) { s.DeadLetter.MaxAttempts = 101 }, "", "accepts 5 to 100"},
		{"letters' retention", func(s *provision.Spec) { s.DeadLetter.Retention = time.Minute }, "", "dead_letter.retention"},
		{"letters expire first", func(s *provision.Spec) { s.DeadLetter.Retention = time.Hour }, "", "above dead_letter.retention"},
		{"delay too long", func(s *provision.Spec) { s.Retry.Max = time.Hour }, "", "backoff middleware"},
		{"delays the wrong way round", func(s *provision.Spec) { s.Retry.Min, s.Retry.Max = time.Minute, time.Second }, "", "retry"},
		{"capitals", func(s *provision.Spec) { s.Tags = map[string]string{"Team": "x"} }, "", "lower-case"},
		{"own topic", func(s *provision.Spec) { s.DeadLetter.Name = "orders" }, "", "own topic"},
		{"own subscription", func(*provision.Spec) {}, "?dead_letter_subscription=orders", "own subscription"},
		{"two dead-letter topics", func(s *provision.Spec) { s.DeadLetter.Name = "a" }, "?dead_letter=b", "name one of them"},
		{"no number", func(*provision.Spec) {}, "?project_number=my-project", "digits"},
		{"unread parameter", func(*provision.Spec) {}, "?topics=x", `did you mean "topic"?`},
	} {
		s := wanted()
		c.change(&s)
		_, err := planOf(t, provisioner(), parsed(t, "gcppubsub://projects/p/subscriptions/orders"+c.query), s)
		require.ErrorIs(t, err, drivers.ErrInvalid, c.name)
		require.ErrorContains(t, err, c.want, c.name)
	}
	_, err := planOf(t, provisioner(), parsed(t, "gcppubsub://projects/p/topics/orders"), wanted())
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.ErrorContains(t, err, "subscriptions/ID?topic=orders")
}

func TestAKeyOfTheUsers(t *testing.T) {
	q, s := unmade(t), wanted()
	apply(t, q, s)
	s.KMSKey = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
	require.Equal(t, []string{"update pubsub topic Q kms_key", "update pubsub topic Q-dlq kms_key"}, shown(q, plan(t, q, s)))
	var asked []string
	withFault(t, func(_ context.Context, _ string, req any, next func() (any, error)) (any, error) {
		if r, ok := req.(*pubsubpb.UpdateTopicRequest); ok { // which pstest refuses for this field
			asked = append(asked, r.Topic.Name+" "+r.Topic.KmsKeyName+" "+r.UpdateMask.Paths[0])
			return r.Topic, nil
		}
		return next()
	})
	done, err := applyTo(t, provisioner(), queueURL(t, q), s, false)
	require.NoError(t, err)
	require.Contains(t, done[0].Remedy, "roles/cloudkms.cryptoKeyEncrypterDecrypter")
	require.Equal(t, []string{q.Topic() + " " + s.KMSKey + " kms_key_name", q.DeadLetter().Topic() + " " + s.KMSKey + " kms_key_name"}, asked)

	fresh := unmade(t)
	apply(t, fresh, s)
	require.Empty(t, plan(t, fresh, s))
}

func TestGrantsThatCannotBeMade(t *testing.T) {
	q, s := unmade(t), wanted()
	_, err := applyTo(t, &pubsub.Opener{}, queueURL(t, q), s, false)
	require.NoError(t, err)
	again, err := planOf(t, &pubsub.Opener{}, queueURL(t, q), s)
	require.NoError(t, err)
	require.Empty(t, again, "an emulator forwards without them")

	unknown := &pubsub.Opener{ProjectNumber: func(context.Context, string) (string, error) { return "", errors.New("no permission") }}
	notes, err := planOf(t, unknown, queueURL(t, q), s)
	require.NoError(t, err)
	require.Equal(t, []string{"note pubsub subscription Q iam"}, shown(q, notes))
	require.Contains(t, notes[0].Remedy, "project_number=NUMBER")

	withFault(t, failing("GetIamPolicy", codes.PermissionDenied))
	notes = plan(t, q, s)
	require.Equal(t, []string{"note pubsub topic Q-dlq iam", "note pubsub subscription Q iam"}, shown(q, notes))
	require.Contains(t, notes[0].Remedy, "gcloud pubsub topics add-iam-policy-binding "+q.ID+"-dlq --project="+project+" --member="+agent+" --role=roles/pubsub.publisher")

	withFault(t, failing("SetIamPolicy", codes.PermissionDenied))
	_, err = applyTo(t, provisioner(), queueURL(t, q), s, false)
	require.ErrorIs(t, err, drivers.ErrDenied)
	require.ErrorContains(t, err, "gcloud pubsub topics add-iam-policy-binding")

	first := true
	withFault(t, func(_ context.Context, method string, _ any, next func() (any, error)) (any, error) {
		if method == "SetIamPolicy" && first {
			first = false
			return nil, status.Error(codes.Aborted, "somebody else changed it")
		}
		return next()
	})
	require.Len(t, apply(t, q, s), 2)
	require.False(t, first)
	fake.SetFault(nil)
	require.Empty(t, plan(t, q, s))
}

// Conditions of others' grants are kept, and a grant with a condition does not do.
func TestGrantsWithConditions(t *testing.T) {
	q, s := unmade(t), wanted()
	_, err := applyTo(t, &pubsub.Opener{}, queueURL(t, q), s, false)
	require.NoError(t, err)
	var asked, set []int32
	withFault(t, func(_ context.Context, _ string, req any, next func() (any, error)) (any, error) {
		switch r := req.(type) {
		case *iampb.GetIamPolicyRequest:
			asked = append(asked, r.GetOptions().GetRequestedPolicyVersion())
		case *iampb.SetIamPolicyRequest:
			set = append(set, r.Policy.Version)
		}
		return next()
	})
	require.Len(t, apply(t, q, s), 2)
	require.NotEmpty(t, asked)
	for _, version := range append(asked, set...) {
		require.EqualValues(t, 3, version)
	}
}

// An emulator without access policies (pstest itself) needs none.
func TestApplyOnABareEmulator(t *testing.T) {
	server := pstest.NewServerWithAddress("127.0.0.1:0")
	defer func() { require.NoError(t, server.Close()) }()
	t.Setenv("PUBSUB_EMULATOR_HOST", server.Addr)
	q, s := pubsubtest.Queue{Project: project, ID: "bare"}, wanted()
	s.DeadLetter.Retention = 0
	done, err := applyTo(t, provisioner(), queueURL(t, q), s, false)
	require.NoError(t, err)
	for _, c := range done {
		require.Equal(t, c.Kind != provision.Grant, c.Applied, c)
	}
	require.Empty(t, plan(t, q, s))
	require.Empty(t, findings(t, q, &s))
}

func TestAlertPolicies(t *testing.T) {
	q, s := unmade(t), wanted()
	alerts := func() ([]json.RawMessage, error) {
		return admin.Alerts(t.Context(), drivers.NewMux(provisioner()), admin.Target{URL: url(q.Subscription()), Spec: &s})
	}
	none, err := alerts()
	require.NoError(t, err)
	require.Empty(t, none)

	s.Alarms = &provision.Alarms{DeadLetters: 3, OldestAge: 15 * time.Minute, Notify: "projects/p/notificationChannels/1"}
	apply(t, q, s)
	require.Empty(t, plan(t, q, s), "alert policies are printed, and are no change")
	texts, err := alerts()
	require.NoError(t, err)
	require.Len(t, texts, 2)
	policies := make([]*monitoringpb.AlertPolicy, 2)
	for i, text := range texts {
		require.True(t, json.Valid(text))
		policies[i] = &monitoringpb.AlertPolicy{}
		require.NoError(t, protojson.Unmarshal(text, policies[i]), "Cloud Monitoring must know every field")
		require.Equal(t, []string{s.Alarms.Notify}, policies[i].NotificationChannels)
		require.Equal(t, monitoringpb.ComparisonType_COMPARISON_GT, policies[i].Conditions[0].GetConditionThreshold().Comparison)
	}
	letters, age := policies[0].Conditions[0].GetConditionThreshold(), policies[1].Conditions[0].GetConditionThreshold()
	require.Equal(t, `resource.type = "pubsub_subscription" AND resource.labels.subscription_id = "`+q.ID+`-dlq" AND metric.type = "pubsub.googleapis.com/subscription/num_undelivered_messages"`, letters.Filter)
	require.InDelta(t, 2, letters.ThresholdValue, 0, "at 3 letters, which is more than 2")
	require.Contains(t, age.Filter, `"`+q.ID+`" AND metric.type = "pubsub.googleapis.com/subscription/oldest_unacked_message_age"`)
	require.InDelta(t, 900, age.ThresholdValue, 0)
}

func TestApplyTellsWhatItHasDoneWhenItFails(t *testing.T) {
	q := unmade(t)
	withFault(t, failing("CreateSubscription", codes.PermissionDenied))
	done, err := applyTo(t, provisioner(), queueURL(t, q), wanted(), false)
	require.ErrorIs(t, err, drivers.ErrDenied)
	require.ErrorContains(t, err, q.ID+"-dlq")
	require.True(t, done[0].Applied)
	require.False(t, done[len(done)-1].Applied)
	withFault(t, failing("GetTopic", codes.Unavailable))
	_, err = planOf(t, provisioner(), queueURL(t, q), wanted())
	require.ErrorIs(t, err, drivers.ErrTransient)
}

// applyTo, planOf and examine do what the operations of package admin do with one
// queue.
func applyTo(t *testing.T, o *pubsub.Opener, u *neturl.URL, s provision.Spec, destructive bool) ([]provision.Change, error) {
	t.Helper()
	return admin.Apply(t.Context(), drivers.NewMux(o), admin.Target{URL: u.String(), Spec: &s}, destructive)
}

func planOf(t *testing.T, o *pubsub.Opener, u *neturl.URL, s provision.Spec) ([]provision.Change, error) {
	t.Helper()
	return admin.Plan(t.Context(), drivers.NewMux(o), admin.Target{URL: u.String(), Spec: &s})
}

func examine(t *testing.T, o *pubsub.Opener, u *neturl.URL, s *provision.Spec, h ...admin.Handlers) ([]admin.Finding, error) {
	t.Helper()
	return admin.Examine(t.Context(), drivers.NewMux(o), []admin.Target{{URL: u.String(), Spec: s, Handlers: append(h, admin.Handlers{})[0]}})
}
