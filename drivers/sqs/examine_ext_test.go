package sqs_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/encoding/cbor"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

func findings(t *testing.T, endpoint, name string, s *provision.Spec, h admin.Handlers) []string {
	t.Helper()
	fs, err := examine(t, &sqs.Opener{}, mustURL(t, endpoint, name), s, h)
	require.NoError(t, err)
	out := []string{}
	for _, f := range fs {
		require.NotEmpty(t, f.Fact, f.ID)
		require.NotEmpty(t, f.Why, f.ID)
		require.NotEmpty(t, f.Remedy.Kind, f.ID)
		out = append(out, string(f.Severity)+" "+f.ID)
	}
	slices.Sort(out)
	return out
}

func TestASoundQueueGivesNoFinding(t *testing.T) {
	onServers(t, func(t *testing.T, endpoint string) {
		for _, suffix := range []string{"", ".fifo"} {
			name := testserver.Name(t) + suffix
			s := spec()
			s.FIFO = suffix != ""
			if strings.Contains(t.Name(), "LocalStack") {
				s.Alarms = &provision.Alarms{DeadLetters: 1}
			}
			_, err := applyTo(t, &sqs.Opener{}, mustURL(t, endpoint, name), s, false)
			require.NoError(t, err)
			require.Empty(t, findings(t, endpoint, name, &s, admin.Handlers{}))
			require.Empty(t, findings(t, endpoint, name, nil, admin.Handlers{}))
		}
	})
}

// rejected sends n messages to the queue and rejects them.
func rejected(t *testing.T, endpoint, name string, n int) {
	t.Helper()
	o := &sqs.Opener{}
	sink, err := o.OpenSink(t.Context(), mustURL(t, endpoint, name), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, sink.Close()) }()
	src, err := o.OpenSource(t.Context(), mustURL(t, endpoint, name), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, src.Close()) }()
	for range n {
		require.NoError(t, errors.Join(sink.Send(t.Context(), []*handler.Message{{Body: []byte("poison")}})...))
		var ds []drivers.Delivery
		require.Eventually(t, func() bool {
			ds, err = src.Receive(t.Context(), 1, time.Second)
			return err == nil && len(ds) == 1
		}, 10*time.Second, time.Millisecond)
		require.NoError(t, errors.Join(src.Settle(t.Context(), []drivers.Settlement{{
			Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionDeadLetter, Failure: &drivers.Failure{Reason: "poison"},
		}})...))
	}
}

func TestFindings(t *testing.T) {
	type built struct {
		endpoint, name string
		spec           *provision.Spec
		handlers       admin.Handlers
		server         *sqstest.Server // nil on LocalStack
		clock          *sqstest.ManualClock
	}
	for _, c := range []struct {
		name  string
		build func(t *testing.T, b *built)
		want  []string
		// only is the server that the fault can be built on, "" for both.
		only string
	}{
		{"no redrive policy", func(t *testing.T, b *built) {
			setAttribute(t, b.endpoint, b.name, "RedrivePolicy", "")
		}, []string{"major no-dead-letter"}, ""},
		{"one attempt", func(t *testing.T, b *built) {
			b.spec.DeadLetter.MaxAttempts = 1
			_, err := applyTo(t, &sqs.Opener{}, mustURL(t, b.endpoint, b.name), *b.spec, false)
			require.NoError(t, err)
		}, []string{"major attempts-one"}, ""},
		{"a thousand attempts", func(t *testing.T, b *built) {
			b.spec.DeadLetter.MaxAttempts = 1000
			_, err := applyTo(t, &sqs.Opener{}, mustURL(t, b.endpoint, b.name), *b.spec, false)
			require.NoError(t, err)
		}, []string{"major attempts-many"}, ""},
		{"letters live no longer than messages", func(t *testing.T, b *built) {
			setAttribute(t, b.endpoint, b.name+"-dlq", "MessageRetentionPeriod", "345600")
		}, []string{"critical dlq-retention"}, ""},
		{"the dead-letter queue is gone", func(t *testing.T, b *built) {
			api := client(t, b.endpoint)
			dlq := b.name + "-dlq"
			at, err := api.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: &dlq})
			require.NoError(t, err)
			_, err = api.DeleteQueue(t.Context(), &awssqs.DeleteQueueInput{QueueUrl: at.QueueUrl})
			require.NoError(t, err)
		}, []string{"critical dlq-missing"}, ""},
		{"the queue is its own dead-letter queue", func(t *testing.T, b *built) {
			setAttribute(t, b.endpoint, b.name, "RedrivePolicy", `{"deadLetterTargetArn":"`+attributesOf(t, b.endpoint, b.name)["QueueArn"]+`","maxReceiveCount":"5"}`)
		}, []string{"critical dlq-self", "minor no-allow-policy"}, "sqstest"},
		{"letters", func(t *testing.T, b *built) { rejected(t, b.endpoint, b.name, 3) }, []string{"major letters-present"}, ""},
		{"letters near their end", func(t *testing.T, b *built) {
			setAttribute(t, b.endpoint, b.name, "MessageRetentionPeriod", "60")
			setAttribute(t, b.endpoint, b.name+"-dlq", "MessageRetentionPeriod", "3600")
			rejected(t, b.endpoint, b.name, 1)
			b.clock.Advance(50 * time.Minute)
		}, []string{"critical letters-expire", "major letters-present"}, "sqstest"},
		{"short polling", func(t *testing.T, b *built) {
			setAttribute(t, b.endpoint, b.name, "ReceiveMessageWaitTimeSeconds", "0")
		}, []string{"minor short-polling"}, ""},
		{"anyone may use the dead-letter queue", func(t *testing.T, b *built) {
			setAttribute(t, b.endpoint, b.name+"-dlq", "RedriveAllowPolicy", `{"redrivePermission":"allowAll"}`)
		}, []string{"minor no-allow-policy"}, ""},
		{"the queue may not use the dead-letter queue", func(t *testing.T, b *built) {
			setAttribute(t, b.endpoint, b.name+"-dlq", "RedriveAllowPolicy", `{"redrivePermission":"denyAll"}`)
		}, []string{"minor no-allow-policy"}, ""},
		{"no encryption", func(t *testing.T, b *built) {
			setAttribute(t, b.endpoint, b.name, "SqsManagedSseEnabled", "false")
		}, []string{"minor encryption-off"}, ""},
		{"handlers outlast the lease", func(_ *testing.T, b *built) {
			b.handlers.P99 = 2 * time.Minute
		}, []string{"critical visibility-short"}, ""},
		{"handlers outlast the lease with a heartbeat", func(_ *testing.T, b *built) {
			b.handlers = admin.Handlers{P99: 2 * time.Minute, Heartbeat: true}
		}, []string{}, ""},
		{"no room for other receives", func(_ *testing.T, b *built) {
			b.handlers.MaxAttempts = 5
		}, []string{"major attempts-headroom"}, ""},
		{"room for other receives", func(_ *testing.T, b *built) {
			b.handlers.MaxAttempts = 4
		}, []string{}, ""},
		{"no alarm", func(t *testing.T, b *built) {
			b.name = queue(t, b.endpoint) // one that apply did not make
			dlq := queue(t, b.endpoint)
			setAttribute(t, b.endpoint, b.name, "ReceiveMessageWaitTimeSeconds", "20")
			setAttribute(t, b.endpoint, dlq, "MessageRetentionPeriod", "1209600")
			setAttribute(t, b.endpoint, dlq, "RedriveAllowPolicy", `{"redrivePermission":"byQueue","sourceQueueArns":["`+attributesOf(t, b.endpoint, b.name)["QueueArn"]+`"]}`)
			setAttribute(t, b.endpoint, b.name, "RedrivePolicy", `{"deadLetterTargetArn":"`+attributesOf(t, b.endpoint, dlq)["QueueArn"]+`","maxReceiveCount":"5"}`)
		}, []string{"minor no-alarm"}, "LocalStack"},
		// SQS refuses this; a server that does not, or a past that did not, leaves it.
		{"a standard dead-letter queue of a FIFO queue", func(t *testing.T, b *built) {
			dlq := b.name + "-dlq"
			b.name += ".fifo"
			b.spec.FIFO = true
			_, err := client(t, b.endpoint).CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &b.name, Attributes: map[string]string{
				"FifoQueue": "true", "ReceiveMessageWaitTimeSeconds": "20", "SqsManagedSseEnabled": "true",
				"RedrivePolicy": `{"deadLetterTargetArn":"` + attributesOf(t, b.endpoint, dlq)["QueueArn"] + `","maxReceiveCount":"5"}`,
			}})
			require.NoError(t, err)
			setAttribute(t, b.endpoint, dlq, "RedriveAllowPolicy", `{"redrivePermission":"byQueue","sourceQueueArns":["`+attributesOf(t, b.endpoint, b.name)["QueueArn"]+`"]}`)
		}, []string{"critical dlq-kind"}, "LocalStack"},
		{"drift", func(_ *testing.T, b *built) { b.spec.VisibilityTimeout = 5 * time.Minute }, []string{"minor drift"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			run := func(t *testing.T, b *built) {
				b.name = testserver.Name(t)
				s := spec()
				if b.server == nil {
					s.Alarms = &provision.Alarms{DeadLetters: 1}
				}
				b.spec = &s
				_, err := applyTo(t, &sqs.Opener{}, mustURL(t, b.endpoint, b.name), s, false)
				require.NoError(t, err)
				c.build(t, b)
				got := findings(t, b.endpoint, b.name, nil, b.handlers)
				if slices.Contains(c.want, "minor drift") {
					got = findings(t, b.endpoint, b.name, b.spec, b.handlers)
				}
				require.Equal(t, c.want, got)
				mended(t, b.endpoint, b.name, *b.spec)
			}
			if c.only != "LocalStack" {
				t.Run("sqstest", func(t *testing.T) {
					testserver.Credentials(t)
					// Behind, so that a test can make what it has sent old.
					clock := sqstest.NewManualClock(time.Now().Add(-50 * time.Minute))
					server, err := sqstest.NewServer(&sqstest.Config{Clock: clock})
					require.NoError(t, err)
					t.Cleanup(func() { require.NoError(t, server.Close()) })
					keepMoving(t, clock)
					run(t, &built{endpoint: server.URL(), server: server, clock: clock})
				})
			}
			if c.only == "LocalStack" || c.only == "" && suite.Asked() {
				t.Run("LocalStack", func(t *testing.T) { run(t, &built{endpoint: testserver.LocalStack(t).URL}) })
			}
		})
	}
}

// mended has sluice apply mend what doctor says that it mends.
func mended(t *testing.T, endpoint, name string, s provision.Spec) {
	t.Helper()
	o, u := &sqs.Opener{}, mustURL(t, endpoint, name)
	byApply := func() []string {
		fs, err := examine(t, o, u, nil, admin.Handlers{})
		require.NoError(t, err)
		var ids []string
		for _, f := range fs {
			if k := f.Remedy.Kind; k == admin.ApplySpec || k == admin.ChangeSpec {
				ids = append(ids, f.ID)
			}
		}
		return ids
	}
	if len(byApply()) == 0 {
		return
	}
	s.DeadLetter.MaxAttempts = 5
	_, err := applyTo(t, o, u, s, true)
	require.NoError(t, err)
	require.Empty(t, byApply())
}

// keepMoving moves the clock on whenever something waits for it, such as a long
// poll.
func keepMoving(t *testing.T, clock *sqstest.ManualClock) {
	t.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if clock.Waiting() > 0 {
					clock.Advance(time.Second)
				}
			}
		}
	}()
}

// TestTheOldestMessage has a CloudWatch that knows one thing: SQS itself reports
// the age of a queue's oldest message to nobody else.
func TestTheOldestMessage(t *testing.T) {
	testserver.Credentials(t)
	server, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	for _, c := range []struct {
		age  time.Duration
		want []string
	}{{47 * time.Hour, []string{}}, {49 * time.Hour, []string{"major oldest-message"}}} {
		watch := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/GetMetricStatistics") {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
			w.Header().Set("Content-Type", "application/cbor")
			_, _ = w.Write(cbor.Encode(cbor.Map{"Datapoints": cbor.List{
				cbor.Map{"Timestamp": timestamp(time.Now().Add(-5 * time.Minute)), "Maximum": cbor.Float64(1)},
				cbor.Map{"Timestamp": timestamp(time.Now().Add(-time.Minute)), "Maximum": cbor.Float64(c.age.Seconds())},
			}}))
		}))
		t.Cleanup(watch.Close)
		t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH", watch.URL)
		t.Setenv("AWS_ENDPOINT_URL_SQS", server.URL())
		s := spec() // which keeps messages for four days
		u, err := url.Parse("awssqs:///" + testserver.Name(t))
		require.NoError(t, err)
		_, err = applyTo(t, &sqs.Opener{}, u, s, false)
		require.NoError(t, err)
		fs, err := examine(t, &sqs.Opener{}, u, nil, admin.Handlers{})
		require.NoError(t, err)
		got := []string{}
		for _, f := range fs {
			got = append(got, string(f.Severity)+" "+f.ID)
		}
		require.Equal(t, c.want, got)
	}
}

// An examination that CloudWatch refused too often says so: a queue without its answer
// might seem sound.
func TestAThrottledCloudWatchIsReported(t *testing.T) {
	s := server(t, nil, "")
	watch := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
		w.Header().Set("Content-Type", "application/cbor")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(cbor.Encode(cbor.Map{"__type": cbor.String("com.amazonaws.cloudwatch#Throttling"), "message": cbor.String("Rate exceeded")}))
	}))
	t.Cleanup(watch.Close)
	t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH", watch.URL)
	t.Setenv("AWS_ENDPOINT_URL_SQS", s.URL())
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	fs, err := examine(t, &sqs.Opener{}, &url.URL{Scheme: "awssqs", Path: "/orders"}, nil, admin.Handlers{})
	require.ErrorIs(t, err, drivers.ErrThrottled)
	require.ErrorContains(t, err, "Rate exceeded")
	require.NotEmpty(t, fs, "the other findings are reported all the same")
}

func timestamp(at time.Time) cbor.Value {
	return &cbor.Tag{ID: 1, Value: cbor.Float64(float64(at.UnixMilli()) / 1000)}
}

func TestADiagnosisOfNoQueue(t *testing.T) {
	onServers(t, func(t *testing.T, endpoint string) {
		_, err := examine(t, &sqs.Opener{}, mustURL(t, endpoint, "nobody"), nil, admin.Handlers{})
		require.ErrorIs(t, err, drivers.ErrNotFound)
		require.ErrorContains(t, err, "its configuration")
	})
}
