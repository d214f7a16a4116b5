package pubsub_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
)

// An emulator may end an idle Pull in its own way. That is not an outage; the same
// answer to a Pull that has not waited is one.
func TestAnIdlePullMayEndInAnyWay(t *testing.T) {
	type end struct {
		code  codes.Code
		waits atomic.Bool
		pulls atomic.Int64
	}
	var ends sync.Map // by subscription
	withFault(t, func(ctx context.Context, method string, req any, next func() (any, error)) (any, error) {
		pull, ok := req.(*pubsubpb.PullRequest)
		if !ok {
			return next()
		}
		found, ok := ends.Load(pull.GetSubscription())
		if !ok {
			return next()
		}
		e := found.(*end)
		e.pulls.Add(1)
		if e.waits.Load() {
			_ = sleep.For(ctx, 1050*time.Millisecond)
		}
		return nil, status.Error(e.code, "made to end")
	})
	for _, c := range []struct {
		code codes.Code
		idle bool
	}{
		{codes.Unknown, true}, {codes.Canceled, true}, {codes.Internal, true}, {codes.Aborted, true}, {codes.DeadlineExceeded, true},
		{codes.Unavailable, false}, {codes.NotFound, false}, {codes.PermissionDenied, false}, {codes.Unauthenticated, false},
	} {
		t.Run(c.code.String(), func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, pubsubtest.Queue{})
			s := openSource(t, q, "")
			e := &end{code: c.code}
			e.waits.Store(true)
			ends.Store(q.Subscription(), e)
			ds, err := s.Receive(t.Context(), 1, 2*time.Second)
			require.Empty(t, ds)
			if !c.idle {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			if c.code == codes.DeadlineExceeded {
				return
			}
			e.waits.Store(false)
			before := e.pulls.Load()
			_, err = s.Receive(t.Context(), 1, 2*time.Second)
			require.Equal(t, before+1, e.pulls.Load(), "it is asked again and again")
			require.ErrorIs(t, err, drivers.ErrTransient, "a Pull that has not waited was not idle")
		})
	}
}

// An emulator that is an HTTP server answers an idle Pull with a bare 200.
func TestABare200IsAnIdlePull(t *testing.T) {
	q := pubsubtest.Queue{Project: project, ID: "bare"}
	reply, err := proto.Marshal(&pubsubpb.Subscription{Name: q.Subscription(), Topic: q.Topic()})
	require.NoError(t, err)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/Pull") {
			_ = sleep.For(r.Context(), 1050*time.Millisecond)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(append([]byte{0, 0, 0, 0, byte(len(reply))}, reply...))
		w.Header().Set("Grpc-Status", "0")
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	t.Setenv("PUBSUB_EMULATOR_HOST", l.Addr().String())
	s := openSource(t, q, "")
	ds, err := s.Receive(t.Context(), 1, 2*time.Second)
	require.NoError(t, err)
	require.Empty(t, ds)
}

// A subscription that is deleted under a consumer is not found, whatever the
// consumer does at that moment.
func TestADeletedSubscriptionIsNotFound(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	s := openSource(t, q, "")
	send(t, openSink(t, q), text("1"))
	d := receive(t, s, 1)[0]
	before := fake.Calls("Pull")
	idle := make(chan error, 1)
	go func() {
		_, err := s.Receive(t.Context(), 1, drivers.MaxWait)
		idle <- err
	}()
	require.Eventually(t, func() bool { return fake.Calls("Pull") > before }, 10*time.Second, time.Millisecond)
	require.NoError(t, fake.Delete(t.Context(), q))
	select {
	case err := <-idle:
		require.ErrorIs(t, err, drivers.ErrNotFound)
	case <-time.After(15 * time.Second):
		t.Fatal("the Pull that waited goes on")
	}
	_, err := s.Receive(t.Context(), 1, time.Second)
	require.ErrorIs(t, err, drivers.ErrNotFound)
	_, err = s.Receive(t.Context(), 1, 0)
	require.ErrorIs(t, err, drivers.ErrNotFound)
	for _, st := range []drivers.Settlement{act(d, handler.ActionAck), act(d, handler.ActionRetry), {Receipt: d.Receipt, Released: true}} {
		require.ErrorIs(t, s.Settle(t.Context(), []drivers.Settlement{st})[0], drivers.ErrNotFound)
	}
	require.ErrorIs(t, s.Extend(t.Context(), []drivers.Extension{{Receipt: d.Receipt, By: time.Minute}})[0], drivers.ErrNotFound)
}

// Credentials that expire are an outage, for every operation; a missing right is
// not. When a queue is opened, both are a fault of the configuration.
func TestExpiredCredentialsAreAnOutage(t *testing.T) {
	for code, want := range map[codes.Code]drivers.Code{codes.Unauthenticated: drivers.Transient, codes.PermissionDenied: drivers.Denied} {
		t.Run(code.String(), func(t *testing.T) {
			q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
			s, sink := openSource(t, q, ""), openSink(t, q)
			send(t, sink, text("1"))
			d := receive(t, s, 1)[0]
			withFault(t, func(context.Context, string, any, func() (any, error)) (any, error) {
				return nil, status.Error(code, "made to fail")
			})
			_, err := s.Receive(t.Context(), 1, time.Second)
			errs := []error{err}
			errs = append(errs, s.Settle(t.Context(), []drivers.Settlement{act(d, handler.ActionAck), act(d, handler.ActionRetry), act(d, handler.ActionDeadLetter)})...)
			errs = append(errs, s.Extend(t.Context(), []drivers.Extension{{Receipt: d.Receipt, By: time.Minute}})...)
			errs = append(errs, sink.Send(t.Context(), []*handler.Message{text("2")})...)
			require.Len(t, errs, 6)
			for _, err := range errs {
				require.Equal(t, want, drivers.CodeOf(err), "%v", err)
			}
			_, err = mux().OpenSource(t.Context(), url(q.Subscription()), nil)
			require.ErrorIs(t, err, drivers.ErrDenied)
		})
	}
}

// A delivery says which lease it has, by the clock that the runtime compares.
func TestADeliveryHasItsLease(t *testing.T) {
	for query, want := range map[string]time.Duration{"": 40 * time.Second, "?ack_deadline=7s": 7 * time.Second} {
		q := newQueue(t, pubsubtest.Queue{AckDeadlineSeconds: 40})
		s := openSource(t, q, query)
		send(t, openSink(t, q), text("1"))
		d := receive(t, s, 1)[0]
		require.Equal(t, want, d.Lease)
		require.Contains(t, d.Deadline.String(), " m=", "the deadline has no monotonic part")
		require.LessOrEqual(t, time.Until(d.Deadline), want)
	}
}

// A request whose answer is lost has failed with all of its messages, though they
// are on the topic. Messages that are sent again are doubled; none change places, and those that
// were not requested yet are not doubled.
func TestALostAnswerKeepsTheOrder(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{Ordered: true})
	sink := openSink(t, q)
	var mu sync.Mutex
	published := []string{}
	n := 0
	withFault(t, func(_ context.Context, method string, req any, next func() (any, error)) (any, error) {
		if method != "Publish" {
			return next()
		}
		mu.Lock()
		defer mu.Unlock()
		for _, m := range req.(*pubsubpb.PublishRequest).Messages {
			published = append(published, m.Attributes["n"])
		}
		out, err := next()
		if n++; n == 2 {
			return nil, status.Error(codes.Unavailable, "the answer was lost")
		}
		return out, err
	})
	ms := make([]*handler.Message, 6)
	for i := range ms {
		ms[i] = &handler.Message{Body: make([]byte, 4_000_000), Group: "g", Attributes: map[string]string{"n": fmt.Sprint(i)}}
	}
	var again []*handler.Message
	for i, err := range sink.Send(t.Context(), ms) {
		if err != nil {
			require.ErrorIs(t, err, drivers.ErrTransient)
			again = append(again, ms[i])
		}
	}
	require.Len(t, again, 4)
	send(t, sink, again...)
	require.Equal(t, []string{"0", "1", "2", "3", "2", "3", "4", "5"}, published)
}
