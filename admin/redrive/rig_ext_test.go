package redrive_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// The Pub/Sub driver finds the fake by the environment, of which there is one.
var fake *pubsubtest.Server

func TestMain(m *testing.M) {
	if os.Getenv(stepping) != "" {
		stepUntilKilled()
		return
	}
	if os.Getenv(crashing) != "" {
		redriveUntilKilled()
		return
	}
	var err error
	if fake, err = pubsubtest.Start(""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for k, v := range map[string]string{"PUBSUB_EMULATOR_HOST": fake.Addr(), "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_REGION": "us-east-1", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		if err := os.Setenv(k, v); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	// Most of these tests wait for letters that do not come.
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = fake.Close()
	os.Exit(code)
}

func mux() *drivers.Mux { return drivers.NewMux(&sqs.Opener{}, new(pubsub.Opener)) }

// A rig is a queue with a dead-letter queue.
type rig struct {
	source drivers.Source
	sink   drivers.Sink
	name   string
	server *sqstest.Server
}

func serve(t testing.TB, c *sqstest.Config) *sqstest.Server {
	t.Helper()
	s, err := sqstest.NewServer(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func onSQS(t testing.TB, s *sqstest.Server, spec provision.Spec) *rig {
	t.Helper()
	r := &rig{name: testserver.Name(t), server: s}
	if spec.FIFO {
		r.name += ".fifo"
	}
	u := "awssqs:///" + r.name + "?endpoint=" + s.URL()
	if spec.DeadLetter == nil {
		spec.DeadLetter = &provision.DeadLetter{MaxAttempts: 5}
	}
	apply(t, &sqs.Opener{}, u, spec)
	r.open(t, u, u)
	return r
}

func apply(t testing.TB, o drivers.Opener, at string, spec provision.Spec) {
	t.Helper()
	_, err := admin.Apply(t.Context(), drivers.NewMux(o), admin.Target{URL: at, Spec: &spec}, false)
	require.NoError(t, err)
}

func onPubSub(t testing.TB) *rig {
	t.Helper()
	q := pubsubtest.Queue{Project: "test", ID: "q" + strings.ToLower(rand.Text()), MaxAttempts: 5, AckDeadlineSeconds: 60}
	require.NoError(t, fake.Create(t.Context(), q))
	r := &rig{name: q.ID}
	r.open(t, "gcppubsub://"+q.Subscription(), "gcppubsub://"+q.Topic())
	return r
}

func (r *rig) open(t testing.TB, source, sink string) {
	t.Helper()
	var err error
	r.source, err = mux().OpenSource(t.Context(), source, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.source.Close()) })
	r.sink, err = mux().OpenSink(t.Context(), sink, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.sink.Close()) })
}

// letters makes n dead letters, whose bodies are their numbers and whose third
// attribute is true for every third.
func (r *rig) letters(t testing.TB, n int) {
	t.Helper()
	for i := 0; i < n; i += 10 {
		var ms []*handler.Message
		for j := i; j < min(i+10, n); j++ {
			ms = append(ms, &handler.Message{Body: []byte(fmt.Sprint(j)), DedupeID: fmt.Sprintf("d-%d", j),
				Attributes: map[string]string{"third": fmt.Sprint(j%3 == 0), "n": fmt.Sprint(j)}})
		}
		r.reject(t, ms...)
	}
}

func (r *rig) reject(t testing.TB, ms ...*handler.Message) {
	t.Helper()
	require.Nil(t, r.sink.Send(t.Context(), ms))
	var ss []drivers.Settlement
	for _, d := range receive(t, r.source, len(ms)) {
		ss = append(ss, drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDeadLetter,
			Failure: &drivers.Failure{Reason: "poison", Last: time.Unix(1700000000, 0), Consumer: "me"}})
	}
	require.Nil(t, r.source.Settle(t.Context(), ss))
}

// receive receives n messages.
func receive(t testing.TB, s drivers.Source, n int) []drivers.Delivery {
	t.Helper()
	var out []drivers.Delivery
	for end := time.Now().Add(30 * time.Second); len(out) < n; {
		require.True(t, time.Now().Before(end), "%d of %d messages came", len(out), n)
		ds, err := s.Receive(t.Context(), min(n-len(out), s.Capabilities().MaxReceive), time.Second)
		require.NoError(t, err)
		out = append(out, ds...)
	}
	return out
}

// drain receives and acks what there is.
func drain(t testing.TB, s drivers.Source) []*handler.Message {
	t.Helper()
	var out []*handler.Message
	for {
		ds, err := s.Receive(t.Context(), min(10, s.Capabilities().MaxReceive), 300*time.Millisecond)
		require.NoError(t, err)
		if len(ds) == 0 {
			return out
		}
		var acks []drivers.Settlement
		for _, d := range ds {
			out = append(out, d.Message)
			acks = append(acks, drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck})
		}
		require.Nil(t, s.Settle(t.Context(), acks))
	}
}

func bodies(ms []*handler.Message) []string {
	out := []string{}
	for _, m := range ms {
		out = append(out, string(m.Body))
	}
	slices.Sort(out)
	return out
}

// left are the letters, which must all be visible.
func (r *rig) left(t testing.TB) []string {
	t.Helper()
	dead, err := r.source.(deadletter.Opener).OpenDeadLetters(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, dead.Close()) }()
	return bodies(drain(t, dead))
}

// onEach runs a test on each provider.
func onEach(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Run("sqs", func(t *testing.T) {
		t.Parallel()
		test(t, onSQS(t, serve(t, nil), provision.Spec{}))
	})
	t.Run("pubsub", func(t *testing.T) {
		t.Parallel()
		test(t, onPubSub(t))
	})
}

// flaky has the dead letters and the way back of a source fail.
type flaky struct {
	drivers.Source
	letters, back drivertest.Flaky
}

func (f *flaky) OpenDeadLetters(ctx context.Context) (drivers.Source, error) {
	s, err := f.Source.(deadletter.Opener).OpenDeadLetters(ctx)
	return f.letters.Source(s), err
}

func (f *flaky) OpenRedrive(ctx context.Context) (drivers.Sink, error) {
	s, err := f.Source.(deadletter.Opener).OpenRedrive(ctx)
	return f.back.Sink(s), err
}

// interrupting has a redrive interrupted while its first request is on its way. The request
// reaches the queue, and if its context has ended its answer is lost.
type interrupting struct {
	drivers.Source
	interrupt context.CancelFunc
}

func (i *interrupting) OpenRedrive(ctx context.Context) (drivers.Sink, error) {
	s, err := i.Source.(deadletter.Opener).OpenRedrive(ctx)
	return &interruptingSink{s, i.interrupt}, err
}

func (i *interrupting) OpenDeadLetters(ctx context.Context) (drivers.Source, error) {
	return i.Source.(deadletter.Opener).OpenDeadLetters(ctx)
}

type interruptingSink struct {
	drivers.Sink
	interrupt context.CancelFunc
}

func (i *interruptingSink) Send(ctx context.Context, ms []*handler.Message) []error {
	i.interrupt()
	if errs := i.Sink.Send(context.WithoutCancel(ctx), ms); errs != nil {
		return errs
	}
	if err := ctx.Err(); err != nil {
		return slices.Repeat([]error{err}, len(ms))
	}
	return nil
}

func history(t testing.TB, m *handler.Message) []map[string]any {
	t.Helper()
	var h []map[string]any
	require.NoError(t, json.Unmarshal([]byte(m.Attributes[deadletter.AttributeRedriveHistory]), &h))
	return h
}

func is(code drivers.Code) error {
	return &drivers.Error{Code: code, Op: "test", Err: errors.New("made up")}
}
