package pubsubpush_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/pushtest"
)

// All tests talk to one fake, each with queues of its own.
var fake *pubsubtest.Server

func TestMain(m *testing.M) {
	var err error
	if fake, err = pubsubtest.Start(""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = os.Setenv("PUBSUB_EMULATOR_HOST", fake.Addr())
	slog.SetDefault(slog.New(slog.DiscardHandler)) //nolint:forbidigo // a nil Logger is it, and the tests are silent
	code := m.Run()
	_ = fake.Close()
	os.Exit(code)
}

const (
	project  = "test-project"
	audience = "https://orders.example.com/push"
	email    = "pusher@test-project.iam.gserviceaccount.com"
)

var queues atomic.Int64

// newQueue makes a queue that no other test has.
func newQueue(t testing.TB, q pubsubtest.Queue) pubsubtest.Queue {
	t.Helper()
	q.Project, q.ID = project, fmt.Sprintf("queue-%d", queues.Add(1))
	require.NoError(t, fake.Create(context.Background(), q))
	t.Cleanup(func() { _ = fake.Delete(context.Background(), q) })
	return q
}

func openPush(t testing.TB, q pubsubtest.Queue) *pubsub.PushSubscription {
	t.Helper()
	s, err := (&pubsub.Opener{}).OpenPush(t.Context(), "gcppubsub://"+q.Subscription(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// googleKey is of the kind that Google signs with. The tests share it: an RSA key
// takes long to make on a machine that is busy.
var googleKey = sync.OnceValues(func() (pushtest.Key, error) { return pushtest.NewKey("key-1", jose.RS256) })

func newIssuer(t testing.TB) *pushtest.Issuer {
	t.Helper()
	key, err := googleKey()
	require.NoError(t, err)
	return issuerOf(t, key)
}

func issuerOf(t testing.TB, key pushtest.Key) *pushtest.Issuer {
	t.Helper()
	i, err := pushtest.NewIssuer(key)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, i.Close()) })
	return i
}

// A recorder keeps what a handler was given.
type recorder struct {
	mu   sync.Mutex
	got  []*handler.Message
	does func(context.Context, *handler.Message) error
}

func (r *recorder) Handle(ctx context.Context, m *handler.Message) error {
	kept := *m
	r.mu.Lock()
	r.got = append(r.got, &kept)
	r.mu.Unlock()
	if r.does == nil {
		return nil
	}
	return r.does(ctx, m)
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func (r *recorder) last(t testing.TB) *handler.Message {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.NotEmpty(t, r.got, "the handler was not called")
	return r.got[len(r.got)-1]
}

func insecure(t testing.TB, h handler.Handler, c pubsubpush.Config) *pubsubpush.Endpoint {
	t.Helper()
	c.Insecure = true
	e, err := pubsubpush.New(h, &c)
	require.NoError(t, err)
	return e
}

// post sends a request to an endpoint without a server between.
func post(e http.Handler, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/push", strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

const hello = `{"message":{"data":"aGVsbG8=","messageId":"7","publishTime":"2026-02-26T19:13:55.749Z","attributes":{"a":"b"}},` +
	`"subscription":"projects/test-project/subscriptions/orders"}`

// queueWithLetters has a dead-letter topic and a deadline that no busy machine
// exceeds.
var queueWithLetters = pubsubtest.Queue{MaxAttempts: 100, AckDeadlineSeconds: 60}

func openSink(t testing.TB, q pubsubtest.Queue) drivers.Sink {
	t.Helper()
	s, err := drivers.NewMux(&pubsub.Opener{}).OpenSink(t.Context(), "gcppubsub://"+q.Topic(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// pulled takes what is in a queue, as it is there.
func pulled(t testing.TB, q pubsubtest.Queue) []*pubsubpb.PubsubMessage {
	t.Helper()
	on := &fake.Fake().GServer
	resp, err := on.Pull(t.Context(), &pubsubpb.PullRequest{Subscription: q.Subscription(), MaxMessages: 100, ReturnImmediately: true}) //nolint:staticcheck // to ask once
	require.NoError(t, err)
	var ms []*pubsubpb.PubsubMessage
	for _, m := range resp.ReceivedMessages {
		ms = append(ms, m.Message)
		_, err = on.Acknowledge(t.Context(), &pubsubpb.AcknowledgeRequest{Subscription: q.Subscription(), AckIds: []string{m.AckId}})
		require.NoError(t, err)
	}
	return ms
}
