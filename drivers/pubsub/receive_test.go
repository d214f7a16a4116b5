package pubsub_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

func TestAnIdleReceiveIsOnePull(t *testing.T) {
	s := openSource(t, newQueue(t, pubsubtest.Queue{}), "")
	before := fake.Calls("Pull")
	ds, err := s.Receive(t.Context(), 10, 3*time.Second)
	require.NoError(t, err)
	require.Empty(t, ds)
	require.LessOrEqual(t, fake.Calls("Pull")-before, 2)
}

// A server may answer a Pull with nothing immediately, again and again.
func TestAnEagerServerIsNotAskedWithoutPause(t *testing.T) {
	s := openSource(t, newQueue(t, pubsubtest.Queue{}), "")
	withFault(t, func(_ context.Context, method string, _ any, next func() (any, error)) (any, error) {
		if method == "Pull" {
			return &pubsubpb.PullResponse{}, nil
		}
		return next()
	})
	before, began := fake.Calls("Pull"), time.Now()
	ds, err := s.Receive(t.Context(), 10, 2*time.Second)
	require.NoError(t, err)
	require.Empty(t, ds)
	require.GreaterOrEqual(t, time.Since(began), 1800*time.Millisecond)
	require.LessOrEqual(t, fake.Calls("Pull")-before, 20)
}

func TestWhatTheServerSaysOfItsDeadlineIsNoError(t *testing.T) {
	s := openSource(t, newQueue(t, pubsubtest.Queue{}), "")
	withFault(t, failing("Pull", codes.DeadlineExceeded))
	ds, err := s.Receive(t.Context(), 10, time.Second)
	require.NoError(t, err)
	require.Empty(t, ds)
}

func TestReceiveClassifiesErrors(t *testing.T) {
	s := openSource(t, newQueue(t, pubsubtest.Queue{}), "")
	for code, want := range map[codes.Code]drivers.Code{
		codes.NotFound:           drivers.NotFound,
		codes.PermissionDenied:   drivers.Denied,
		codes.Unauthenticated:    drivers.Transient,
		codes.ResourceExhausted:  drivers.Throttled,
		codes.Unavailable:        drivers.Transient,
		codes.Internal:           drivers.Transient,
		codes.Unknown:            drivers.Transient,
		codes.FailedPrecondition: drivers.Invalid,
		codes.InvalidArgument:    drivers.Invalid,
		codes.Unimplemented:      drivers.Unsupported,
	} {
		withFault(t, failing("Pull", code))
		before := fake.Calls("Pull")
		_, err := s.Receive(t.Context(), 1, time.Second)
		require.Equal(t, want, drivers.CodeOf(err), "%v", err)
		require.Equal(t, 1, fake.Calls("Pull")-before, "%v must not be retried here: the runtime does", code)
	}
}

func TestMessagesAimedElsewhereAreSkipped(t *testing.T) {
	t.Parallel()
	q := newQueue(t, pubsubtest.Queue{})
	s, sink := openSource(t, q, ""), openSink(t, q)
	other := "projects/" + project + "/subscriptions/another"
	aimed := func(body, target, topic string) *handler.Message {
		m := &handler.Message{Body: []byte(body), Attributes: map[string]string{"sluice-redrive-target": target, "own": "kept"}}
		if topic != "" {
			m.Attributes["sluice-redrive-topic"] = topic
		}
		return m
	}
	send(t, sink,
		aimed("elsewhere", other, ""),
		aimed("elsewhere by this topic", other, q.Topic()),
		aimed("here", q.Subscription(), q.Topic()),
		aimed("a letter", other, "projects/p/topics/where-it-was-redriven"),
		text("not aimed"),
	)
	native := aimed("a letter that the service forwarded", other, "")
	native.Attributes["CloudPubSubDeadLetterSourceSubscription"] = "another"
	send(t, sink, native)

	got := map[string]*handler.Message{}
	for _, d := range receive(t, s, 4) {
		got[string(d.Message.Body)] = d.Message
		settle(t, s, act(d, handler.ActionAck))
	}
	require.Len(t, got, 4)
	for _, body := range []string{"here", "a letter", "not aimed", "a letter that the service forwarded"} {
		require.Contains(t, got, body)
	}
	require.Equal(t, map[string]string{"own": "kept"}, got["here"].Attributes, "the aim is not the handler's business")

	ds, err := s.Receive(t.Context(), 10, time.Second)
	require.NoError(t, err)
	require.Empty(t, ds)
	require.Zero(t, depth(t, q), "what was skipped must be acknowledged")
}

// A receive of which all messages are skipped goes on for the rest of its wait.
func TestSkippingDoesNotEndAReceive(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	s, sink := openSource(t, q, ""), openSink(t, q)
	for range 5 {
		send(t, sink, &handler.Message{Body: []byte("x"), Attributes: map[string]string{"sluice-redrive-target": "elsewhere"}})
	}
	out := make(chan []drivers.Delivery, 1)
	go func() {
		ds, _ := s.Receive(t.Context(), 1, drivers.MaxWait)
		out <- ds
	}()
	require.Eventually(t, func() bool { return depth(t, q) == pubsubtest.Depth{} }, 10*time.Second, 10*time.Millisecond)
	send(t, sink, text("mine"))
	select {
	case ds := <-out:
		require.Len(t, ds, 1)
		require.Equal(t, "mine", string(ds[0].Message.Body))
	case <-time.After(15 * time.Second):
		t.Fatal("the message was not received")
	}
}

func TestALeaseOfItsOwn(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{AckDeadlineSeconds: 10})
	s := openSource(t, q, "?ack_deadline=300s")
	require.Equal(t, 300*time.Second, s.Capabilities().Lease)
	m := text("x")
	send(t, openSink(t, q), m)
	began := time.Now()
	d := receive(t, s, 1)[0]
	require.True(t, d.Deadline.After(began.Add(250*time.Second)), "%v", d.Deadline.Sub(began))
	modacks := fake.Fake().Message(m.ID).Modacks
	require.Len(t, modacks, 1)
	require.EqualValues(t, 300, modacks[0].AckDeadline)

	// If it cannot be given, the message has the subscription's.
	send(t, openSink(t, q), text("y"))
	withFault(t, failing("ModifyAckDeadline", codes.Unavailable))
	began = time.Now()
	d = receive(t, s, 1)[0]
	require.False(t, d.Deadline.After(time.Now().Add(10*time.Second)))
	require.True(t, d.Deadline.After(began.Add(5*time.Second)))
}

// A long poll may answer late in its time; the lease began when it did.
func TestDeadlineOfALateAnswer(t *testing.T) {
	t.Parallel()
	q := newQueue(t, pubsubtest.Queue{AckDeadlineSeconds: 2})
	s, sink := openSource(t, q, ""), openSink(t, q)
	out := make(chan drivers.Delivery, 1)
	go func() {
		ds, _ := s.Receive(t.Context(), 1, drivers.MaxWait)
		for _, d := range ds {
			out <- d
		}
	}()
	timer := time.NewTimer(2500 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	sent := time.Now()
	send(t, sink, text("late"))
	select {
	case d := <-out:
		require.True(t, d.Deadline.After(sent), "the lease counts from before the poll, and is over before it began")
		require.False(t, d.Deadline.After(time.Now().Add(2*time.Second)))
	case <-time.After(15 * time.Second):
		t.Fatal("the message was not received")
	}
}

// An outage must not look like an idle queue.
func TestAnOutageIsAnError(t *testing.T) {
	server, err := pubsubtest.Start("")
	require.NoError(t, err)
	t.Setenv("PUBSUB_EMULATOR_HOST", server.Addr())
	q := pubsubtest.Queue{Project: project, ID: "outage"}
	require.NoError(t, server.Create(t.Context(), q))
	s := openSource(t, q, "")
	ds, err := s.Receive(t.Context(), 1, 0)
	require.NoError(t, err)
	require.Empty(t, ds)

	require.NoError(t, server.Close())
	_, err = s.Receive(t.Context(), 1, 5*time.Second)
	require.ErrorIs(t, err, drivers.ErrTransient)
	require.ErrorContains(t, err, "is the emulator running?")

	// It comes back by itself.
	again, err := pubsubtest.Start(server.Addr())
	require.NoError(t, err)
	defer func() { require.NoError(t, again.Close()) }()
	require.NoError(t, again.Create(t.Context(), q))
	_, err = again.Fake().GServer.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: q.Topic(), Messages: []*pubsubpb.PubsubMessage{{Data: []byte("after")}}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		ds, err := s.Receive(t.Context(), 1, time.Second)
		return err == nil && len(ds) == 1
	}, 30*time.Second, 50*time.Millisecond)
}

func TestCloseEndsAReceive(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	s, err := mux().OpenSource(t.Context(), url(q.Subscription()), nil)
	require.NoError(t, err)
	before := fake.Calls("Pull")
	out := make(chan error, 1)
	go func() {
		_, err := s.Receive(context.Background(), 1, drivers.MaxWait)
		out <- err
	}()
	require.Eventually(t, func() bool { return fake.Calls("Pull") > before }, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Close())
	select {
	case err := <-out:
		require.ErrorIs(t, err, drivers.ErrClosed)
	case <-time.After(10 * time.Second):
		t.Fatal("the receive goes on after Close")
	}
}

func TestErrorsNameWhatFailed(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	s := openSource(t, q, "")
	withFault(t, func(context.Context, string, any, func() (any, error)) (any, error) {
		return nil, status.Error(codes.NotFound, "Resource not found")
	})
	_, err := s.Receive(t.Context(), 1, time.Second)
	for _, part := range []string{q.Subscription(), "receive", "not found", "Resource not found", "its configuration"} {
		require.ErrorContains(t, err, part)
	}
}

// Nor must one in which the address takes connections and says nothing.
func TestASilentServerIsAnError(t *testing.T) {
	server, err := pubsubtest.Start("")
	require.NoError(t, err)
	t.Setenv("PUBSUB_EMULATOR_HOST", server.Addr())
	q := pubsubtest.Queue{Project: project, ID: "silence"}
	require.NoError(t, server.Create(t.Context(), q))
	s := openSource(t, q, "")
	require.NoError(t, server.Close())

	l, err := net.Listen("tcp", server.Addr())
	require.NoError(t, err)
	var mu sync.Mutex
	var held []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			held = append(held, c)
			mu.Unlock()
		}
	}()
	defer func() {
		require.NoError(t, l.Close())
		mu.Lock()
		defer mu.Unlock()
		for _, c := range held {
			_ = c.Close()
		}
	}()
	require.Eventually(t, func() bool {
		_, err := s.Receive(t.Context(), 1, time.Second)
		return errors.Is(err, drivers.ErrTransient) && strings.Contains(err.Error(), "no connection to 127.0.0.1")
	}, 30*time.Second, time.Millisecond)
}
