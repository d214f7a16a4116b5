package sqs_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// onServers runs a test on sqstest and, if the slow suites are asked for, on
// LocalStack.
func onServers(t *testing.T, test func(t *testing.T, endpoint string)) {
	t.Helper()
	t.Run("sqstest", func(t *testing.T) {
		testserver.Credentials(t)
		s, err := sqstest.NewServer(nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		test(t, s.URL())
	})
	if suite.Asked() {
		t.Run("LocalStack", func(t *testing.T) { test(t, testserver.LocalStack(t).URL) })
	}
}

func mustURL(t *testing.T, endpoint, name string) *url.URL {
	t.Helper()
	u, err := url.Parse(sqsURL(endpoint, name))
	require.NoError(t, err)
	return u
}

func attributesOf(t *testing.T, endpoint, name string) map[string]string {
	t.Helper()
	c := client(t, endpoint)
	at, err := c.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: &name})
	require.NoError(t, err)
	out, err := c.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{
		QueueUrl: at.QueueUrl, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	require.NoError(t, err)
	return out.Attributes
}

func setAttribute(t *testing.T, endpoint, name, attribute, value string) {
	t.Helper()
	c := client(t, endpoint)
	at, err := c.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: &name})
	require.NoError(t, err)
	_, err = c.SetQueueAttributes(t.Context(), &awssqs.SetQueueAttributesInput{QueueUrl: at.QueueUrl, Attributes: map[string]string{attribute: value}})
	require.NoError(t, err)
}

// fields are the changes as "resource field".
func fields(cs []provision.Change) []string {
	out := []string{}
	for _, c := range cs {
		out = append(out, strings.TrimSpace(string(c.Kind)+" "+c.Resource[strings.LastIndexByte(c.Resource, ' ')+1:]+" "+c.Field))
	}
	return out
}

func spec() provision.Spec {
	return provision.Spec{
		Name: "orders", VisibilityTimeout: time.Minute, Retention: 4 * 24 * time.Hour,
		DeadLetter: &provision.DeadLetter{MaxAttempts: 5}, Tags: map[string]string{"team": "payments"},
	}
}

func TestApplyMakesWhatIsWished(t *testing.T) {
	for _, c := range []struct{ name, suffix string }{{"standard", ""}, {"FIFO", ".fifo"}} {
		t.Run(c.name, func(t *testing.T) {
			onServers(t, func(t *testing.T, endpoint string) {
				base := testserver.Name(t)
				name, dlq := base+c.suffix, base+"-dlq"+c.suffix
				u, o, s := mustURL(t, endpoint, name), &sqs.Opener{}, spec()
				s.FIFO = c.suffix != ""

				plan, err := planOf(t, o, u, s)
				require.NoError(t, err)
				require.Equal(t, []string{"create " + dlq, "update " + dlq + " redrive_allow_policy", "create " + name}, fields(plan))

				done, err := applyTo(t, o, u, s, false)
				require.NoError(t, err)
				require.Equal(t, fields(plan), fields(done))
				for _, change := range done {
					require.True(t, change.Applied, change)
					require.Equal(t, "orders", change.Queue)
				}
				again, err := applyTo(t, o, u, s, false)
				require.NoError(t, err)
				require.Empty(t, again, "the second time there is nothing to do")

				main, dead := attributesOf(t, endpoint, name), attributesOf(t, endpoint, dlq)
				require.Equal(t, "60", main["VisibilityTimeout"])
				require.Equal(t, "345600", main["MessageRetentionPeriod"])
				require.Equal(t, "20", main["ReceiveMessageWaitTimeSeconds"])
				require.Contains(t, main["RedrivePolicy"], dead["QueueArn"])
				require.Equal(t, "1209600", dead["MessageRetentionPeriod"])
				require.Contains(t, dead["RedriveAllowPolicy"], main["QueueArn"])
				require.Equal(t, c.suffix != "", main["FifoQueue"] == "true")

				// The queue works.
				src, err := o.OpenSource(t.Context(), u, nil)
				require.NoError(t, err)
				require.Equal(t, dlq, src.Capabilities().DeadLetterQueue)
				require.Equal(t, 5, src.Capabilities().MaxAttempts)
				require.NoError(t, src.Close())
			})
		})
	}
}

func TestDriftIsPlannedAndMended(t *testing.T) {
	onServers(t, func(t *testing.T, endpoint string) {
		name := testserver.Name(t)
		u, o, s := mustURL(t, endpoint, name), &sqs.Opener{}, spec()
		_, err := applyTo(t, o, u, s, false)
		require.NoError(t, err)

		setAttribute(t, endpoint, name, "VisibilityTimeout", "10")
		setAttribute(t, endpoint, name, "ReceiveMessageWaitTimeSeconds", "0")
		s.Tags["team"] = "orders"
		s.DeadLetter.MaxAttempts = 7
		plan, err := planOf(t, o, u, s)
		require.NoError(t, err)
		require.ElementsMatch(t, []string{
			"update " + name + "-dlq tags.team", "update " + name + " visibility_timeout", "update " + name + " receive_wait",
			"update " + name + " dead_letter", "update " + name + " tags.team",
		}, fields(plan))
		_, err = applyTo(t, o, u, s, false)
		require.NoError(t, err)
		plan, err = planOf(t, o, u, s)
		require.NoError(t, err)
		require.Empty(t, plan)
		require.Equal(t, "60", attributesOf(t, endpoint, name)["VisibilityTimeout"])
	})
}

func TestWhatCanLoseMessagesMustBeAllowed(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(s *provision.Spec)
		field  string
		still  func(t *testing.T, endpoint, queue string)
	}{
		{"a shorter retention", func(s *provision.Spec) { s.Retention = time.Hour }, "retention", func(t *testing.T, endpoint, queue string) {
			require.Equal(t, "345600", attributesOf(t, endpoint, queue)["MessageRetentionPeriod"])
		}},
		{"no dead-letter queue", func(s *provision.Spec) { s.DeadLetter = nil }, "dead_letter", func(t *testing.T, endpoint, queue string) {
			require.NotEmpty(t, attributesOf(t, endpoint, queue)["RedrivePolicy"])
		}},
		{"another dead-letter queue", func(s *provision.Spec) { s.DeadLetter.Name = "other-" + s.Name }, "dead_letter", func(t *testing.T, endpoint, queue string) {
			require.NotContains(t, attributesOf(t, endpoint, queue)["RedrivePolicy"], "other-")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onServers(t, func(t *testing.T, endpoint string) {
				name := testserver.Name(t)
				u, o, s := mustURL(t, endpoint, name), &sqs.Opener{}, spec()
				s.Name = name
				_, err := applyTo(t, o, u, s, false)
				require.NoError(t, err)
				c.change(&s)

				done, err := applyTo(t, o, u, s, false)
				require.NoError(t, err)
				held := 0
				for _, change := range done {
					if change.Destructive {
						held++
						require.Equal(t, c.field, change.Field)
						require.False(t, change.Applied)
					}
				}
				require.Equal(t, 1, held, done)
				c.still(t, endpoint, name)

				_, err = applyTo(t, o, u, s, true)
				require.NoError(t, err)
				plan, err := planOf(t, o, u, s)
				require.NoError(t, err)
				require.Empty(t, plan)
			})
		})
	}
}

func TestASharedDeadLetterQueueServesBoth(t *testing.T) {
	onServers(t, func(t *testing.T, endpoint string) {
		base := testserver.Name(t)
		o := &sqs.Opener{}
		for _, name := range []string{base + "-a", base + "-b"} {
			s := spec()
			s.DeadLetter.Name = base + "-shared"
			_, err := applyTo(t, o, mustURL(t, endpoint, name), s, false)
			require.NoError(t, err)
		}
		policy := attributesOf(t, endpoint, base+"-shared")["RedriveAllowPolicy"]
		require.Contains(t, policy, base+"-a")
		require.Contains(t, policy, base+"-b")

		// A native redrive for one would carry the other's letters along.
		src, err := o.OpenSource(t.Context(), mustURL(t, endpoint, base+"-a"), nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, src.Close()) }()
		_, err = src.(deadletter.Redriver).StartRedrive(t.Context(), 0)
		require.ErrorIs(t, err, drivers.ErrInvalid)
		require.ErrorContains(t, err, "whose source is")
	})
}

func TestAKindCannotBeChanged(t *testing.T) {
	// A queue named .fifo is always a FIFO queue, so that only the other way
	// round is a specification that can be written, and that is refused.
	testserver.Credentials(t)
	s := spec()
	s.FIFO = true
	_, err := planOf(t, &sqs.Opener{}, mustURL(t, "http://127.0.0.1:1", "orders"), s)
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.ErrorContains(t, err, "orders.fifo")
}

func TestSpecificationsThatSQSCannotMeet(t *testing.T) {
	testserver.Credentials(t)
	for _, c := range []struct {
		name   string
		change func(s *provision.Spec)
		want   string
	}{
		{"visibility", func(s *provision.Spec) { s.VisibilityTimeout = 13 * time.Hour }, "visibility_timeout"},
		{"part of a second", func(s *provision.Spec) { s.VisibilityTimeout = 1500 * time.Millisecond }, "whole seconds"},
		{"retention too long", func(s *provision.Spec) { s.Retention = 15 * 24 * time.Hour }, "14 days"},
		{"retention too short", func(s *provision.Spec) { s.Retention = time.Second }, "1 minute"},
		{"letters expire at once", func(s *provision.Spec) { s.DeadLetter.Retention = time.Hour }, "expire"},
		{"attempts", func(s *provision.Spec) { s.DeadLetter.MaxAttempts = 1001 }, "max_attempts"},
		{"own dead-letter queue", func(s *provision.Spec) { s.DeadLetter.Name = "orders" }, "its own"},
		{"of the other kind", func(s *provision.Spec) { s.DeadLetter.Name = "orders-dlq.fifo" }, "kind"},
		{"exactly once", func(s *provision.Spec) { s.ExactlyOnce = true }, "exactly_once"},
		{"acked messages", func(s *provision.Spec) { s.RetainAcked = true }, "retain_acked"},
	} {
		s := spec()
		c.change(&s)
		_, err := planOf(t, &sqs.Opener{}, mustURL(t, "http://127.0.0.1:1", "orders"), s)
		require.ErrorIs(t, err, drivers.ErrInvalid, c.name)
		require.ErrorContains(t, err, c.want, c.name)
	}
}

func TestAlarms(t *testing.T) {
	endpoint := testserver.LocalStack(t).URL
	name := testserver.Name(t)
	u, o, s := mustURL(t, endpoint, name), &sqs.Opener{}, spec()
	s.Alarms = &provision.Alarms{DeadLetters: 1, OldestAge: 15 * time.Minute, Notify: "arn:aws:sns:us-east-1:000000000000:oncall"}
	done, err := applyTo(t, o, u, s, false)
	require.NoError(t, err)
	require.Contains(t, fields(done), "create sluice-"+name+"-dead-letters")
	require.Contains(t, fields(done), "create sluice-"+name+"-oldest-age")
	plan, err := planOf(t, o, u, s)
	require.NoError(t, err)
	require.Empty(t, plan)

	s.Alarms.DeadLetters = 10
	plan, err = planOf(t, o, u, s)
	require.NoError(t, err)
	require.Equal(t, []string{"update sluice-" + name + "-dead-letters"}, fields(plan))
	require.Contains(t, plan[0].From, "from 1")
	require.Contains(t, plan[0].To, "from 10")
	_, err = applyTo(t, o, u, s, false)
	require.NoError(t, err)
	plan, err = planOf(t, o, u, s)
	require.NoError(t, err)
	require.Empty(t, plan)
}

func TestPlanNeedsTheServer(t *testing.T) {
	testserver.Credentials(t)
	_, err := planOf(t, &sqs.Opener{}, mustURL(t, "http://127.0.0.1:1", "orders"), spec())
	require.ErrorIs(t, err, drivers.ErrTransient)
	require.ErrorContains(t, err, `"orders`)
}

// A server that has SQS alone cannot make alarms. It says so, and what to do, and
// makes the rest.
func TestAlarmsNeedCloudWatch(t *testing.T) {
	s, o := spec(), &sqs.Opener{}
	s.Alarms = &provision.Alarms{DeadLetters: 1}
	u := mustURL(t, server(t, nil, "").URL(), "new")
	plan, err := planOf(t, o, u, s)
	require.NoError(t, err)
	done, err := applyTo(t, o, u, s, false)
	require.NoError(t, err)
	for _, changes := range [][]provision.Change{plan, done} {
		last := changes[len(changes)-1]
		require.Equal(t, "create sluice-new-dead-letters", fields(changes)[len(changes)-1])
		require.Contains(t, last.LeftOut, "the server at the endpoint has no CloudWatch")
		require.Contains(t, last.Remedy, "alarms: null")
		require.False(t, last.Applied)
	}
	require.True(t, done[0].Applied)
}

// applyTo, planOf and examine do what the operations of package admin do with one
// queue.
func applyTo(t *testing.T, o *sqs.Opener, u *url.URL, s provision.Spec, destructive bool) ([]provision.Change, error) {
	t.Helper()
	return admin.Apply(t.Context(), drivers.NewMux(o), admin.Target{URL: u.String(), Spec: &s}, destructive)
}

func planOf(t *testing.T, o *sqs.Opener, u *url.URL, s provision.Spec) ([]provision.Change, error) {
	t.Helper()
	return admin.Plan(t.Context(), drivers.NewMux(o), admin.Target{URL: u.String(), Spec: &s})
}

func examine(t *testing.T, o *sqs.Opener, u *url.URL, s *provision.Spec, h admin.Handlers) ([]admin.Finding, error) {
	t.Helper()
	return admin.Examine(t.Context(), drivers.NewMux(o), []admin.Target{{URL: u.String(), Spec: s, Handlers: h}})
}
