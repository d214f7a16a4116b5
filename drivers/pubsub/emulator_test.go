package pubsub_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/suite"
)

// fake is the server of this package's tests. The emulator's address is taken
// from the environment, of which a process has one; so the tests share a server,
// and each has queues of its own.
var fake *pubsubtest.Server

func TestMain(m *testing.M) {
	registerCodec(os.Getenv(codecToRegister))
	var err error
	if fake, err = pubsubtest.Start(""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = os.Setenv("PUBSUB_EMULATOR_HOST", fake.Addr())
	code := suite.Run(m)
	_ = fake.Close()
	os.Exit(code)
}

const project = "test-project"

var queues atomic.Int64

// newQueue makes a queue that no other test has.
func newQueue(t *testing.T, q pubsubtest.Queue) pubsubtest.Queue {
	t.Helper()
	q.Project, q.ID = project, fmt.Sprintf("queue-%d", queues.Add(1))
	require.NoError(t, fake.Create(context.Background(), q))
	return q
}

func mux() *drivers.Mux { return drivers.NewMux(&pubsub.Opener{}) }

func url(name string) string { return "gcppubsub" + "://" + name }

func openSource(t *testing.T, q pubsubtest.Queue, query string) *pubsub.Source {
	t.Helper()
	s, err := mux().OpenSource(t.Context(), url(q.Subscription())+query, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s.(*pubsub.Source)
}

func openSink(t *testing.T, q pubsubtest.Queue) *pubsub.Sink {
	t.Helper()
	s, err := mux().OpenSink(t.Context(), url(q.Topic()), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s.(*pubsub.Sink)
}

func send(t *testing.T, s drivers.Sink, ms ...*handler.Message) {
	t.Helper()
	for i, err := range s.Send(t.Context(), ms) {
		require.NoError(t, err, "message %d", i)
	}
}

func text(body string) *handler.Message { return &handler.Message{Body: []byte(body)} }

// receive gathers n messages.
func receive(t *testing.T, s drivers.Source, n int) []drivers.Delivery {
	t.Helper()
	var got []drivers.Delivery
	for end := time.Now().Add(2 * time.Minute); len(got) < n; {
		require.True(t, time.Now().Before(end), "%d of %d messages came", len(got), n)
		ds, err := s.Receive(t.Context(), n-len(got), time.Second)
		require.NoError(t, err)
		got = append(got, ds...)
	}
	return got
}

// settle settles, and fails unless all was carried out.
func settle(t *testing.T, s drivers.Source, ss ...drivers.Settlement) {
	t.Helper()
	for i, err := range s.Settle(t.Context(), ss) {
		require.NoError(t, err, "settlement %d", i)
	}
}

func act(d drivers.Delivery, a handler.Action) drivers.Settlement {
	return drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: a}
}

func depth(t *testing.T, q pubsubtest.Queue) pubsubtest.Depth {
	t.Helper()
	d, err := fake.Depth(q.Subscription())
	require.NoError(t, err)
	return d
}
