package pushtest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/internal/test/pushtest"
)

// A rig is a queue on a fake, and an endpoint that answers by a message's body.
type rig struct {
	t      *testing.T
	fake   *pubsubtest.Server
	queue  pubsubtest.Queue
	answer func(w http.ResponseWriter, r *http.Request, m message, try int)

	mu    sync.Mutex
	got   []string // bodies, in the order in which they came
	tries map[string]int
}

// message is what the endpoint reads of an envelope.
type message struct {
	Data        []byte `json:"data"`
	OrderingKey string `json:"orderingKey"`
}

func newRig(t *testing.T, q pubsubtest.Queue) *rig {
	t.Helper()
	r := &rig{t: t, tries: map[string]int{}}
	var err error
	r.fake, err = pubsubtest.Start("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.fake.Close()) })
	q.Project, q.ID = "p", "q"
	require.NoError(t, r.fake.Create(t.Context(), q))
	r.queue = q
	return r
}

func (r *rig) publish(key string, bodies ...string) {
	r.t.Helper()
	req := &pubsubpb.PublishRequest{Topic: r.queue.Topic()}
	for _, b := range bodies {
		req.Messages = append(req.Messages, &pubsubpb.PubsubMessage{Data: []byte(b), OrderingKey: key})
	}
	_, err := r.fake.Fake().GServer.Publish(r.t.Context(), req)
	require.NoError(r.t, err)
}

func (r *rig) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var envelope struct {
		Message message `json:"message"`
	}
	// Read to its end, since a server notices only then that its client has gone.
	document, err := io.ReadAll(req.Body)
	if err == nil {
		err = json.Unmarshal(document, &envelope)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	body := string(envelope.Message.Data)
	r.mu.Lock()
	r.tries[body]++
	try := r.tries[body]
	r.got = append(r.got, body)
	r.mu.Unlock()
	r.answer(w, req, envelope.Message, try)
}

// drain pumps until the queue is empty.
func (r *rig) drain() map[int]int {
	r.t.Helper()
	server := httptest.NewServer(r)
	defer server.Close()
	p := &pushtest.Pump{Addr: r.fake.Addr(), Subscription: r.queue.Subscription(), Endpoint: server.URL}
	ctx, stop := context.WithCancel(r.t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	require.Eventually(r.t, func() bool {
		d, err := r.fake.Depth(r.queue.Subscription())
		return err == nil && d.Visible+d.InFlight == 0
	}, time.Minute, 10*time.Millisecond)
	stop()
	require.NoError(r.t, <-ended)
	return p.Statuses()
}

func TestAMessageIsAcknowledgedByTheServicesStatusesAlone(t *testing.T) {
	r := newRig(t, pubsubtest.Queue{AckDeadlineSeconds: 60})
	acks := []string{"200", "201", "202", "204"}
	others := []string{"203", "206", "302", "400", "401", "404", "429", "500", "503"}
	r.answer = func(w http.ResponseWriter, req *http.Request, m message, try int) {
		code, err := strconv.Atoi(string(m.Data))
		if err != nil || try > 1 {
			code = http.StatusNoContent
		}
		if code == http.StatusFound {
			w.Header().Set("Location", "http://"+req.Host+"/elsewhere") // the service does not go there
		}
		w.WriteHeader(code)
	}
	r.publish("", acks...)
	r.publish("", others...)
	statuses := r.drain()
	for _, code := range acks {
		require.Equal(t, 1, r.tries[code], code)
	}
	want := map[int]int{200: 1, 201: 1, 202: 1, 204: 1 + len(others)}
	for _, code := range others {
		require.Equal(t, 2, r.tries[code], code)
		n, err := strconv.Atoi(code)
		require.NoError(t, err)
		want[n]++
	}
	require.Equal(t, want, statuses)
}

func TestAMessageWithoutAnAnswerIsPushedAgain(t *testing.T) {
	r := newRig(t, pubsubtest.Queue{AckDeadlineSeconds: 1})
	r.answer = func(w http.ResponseWriter, req *http.Request, m message, try int) {
		switch {
		case try > 1:
		case string(m.Data) == "cut off":
			panic(http.ErrAbortHandler)
		case string(m.Data) == "late":
			<-req.Context().Done()
		}
		w.WriteHeader(http.StatusNoContent)
	}
	r.publish("", "cut off")
	r.publish("", "late")
	began := time.Now()
	statuses := r.drain()
	require.GreaterOrEqual(t, time.Since(began), time.Second, "it waits for as long as the ack deadline")
	// A slow machine may exceed so short a deadline more often.
	require.GreaterOrEqual(t, statuses[0], 2)
	for _, body := range []string{"cut off", "late"} {
		require.GreaterOrEqual(t, r.tries[body], 2, body)
	}
}

func TestAFailedMessageHoldsItsKeyAndNoOther(t *testing.T) {
	r := newRig(t, pubsubtest.Queue{Ordered: true, AckDeadlineSeconds: 60})
	held, free := []string{"h0", "h1", "h2", "h3"}, []string{"f0", "f1", "f2", "f3"}
	pushing := map[string]int{}
	overlapped := false
	r.answer = func(w http.ResponseWriter, _ *http.Request, m message, try int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		pushing[m.OrderingKey]++
		overlapped = overlapped || pushing[m.OrderingKey] > 1
		defer func() { pushing[m.OrderingKey]-- }()
		if string(m.Data) == "h1" && (try < 3 || r.tries["f3"] == 0) {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
	r.publish("held", held...)
	r.publish("free", free...)
	statuses := r.drain()
	of := func(first byte) []string {
		return slices.DeleteFunc(slices.Clone(r.got), func(b string) bool { return b[0] != first })
	}
	require.Equal(t, free, of('f'))
	require.GreaterOrEqual(t, r.tries["h1"], 3, "it has not failed")
	require.Equal(t, held, slices.Compact(of('h')), "a later message was pushed before the one that failed: %v", r.got)
	require.False(t, overlapped)
	require.Equal(t, map[int]int{204: 8, 500: r.tries["h1"] - 1}, statuses)
}

func TestAPumpTellsWhyItCannotPull(t *testing.T) {
	r := newRig(t, pubsubtest.Queue{})
	p := &pushtest.Pump{Addr: r.fake.Addr(), Subscription: "projects/p/subscriptions/none", Endpoint: "http://127.0.0.1:1"}
	require.Equal(t, codes.NotFound, status.Code(p.Run(t.Context())))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, p.Run(ctx), "it was told to stop")
}

func TestWhatAPushLooksLike(t *testing.T) {
	m := &pubsubpb.ReceivedMessage{DeliveryAttempt: 3, Message: &pubsubpb.PubsubMessage{
		Data: []byte("hello"), MessageId: "7", OrderingKey: "k", Attributes: map[string]string{"a": "b"},
		PublishTime: timestamppb.New(time.Date(2026, 2, 26, 19, 13, 55, 749e6, time.UTC)),
	}}
	const at = "2026-02-26T19:13:55.749Z"
	read := func(req *http.Request, err error) (http.Header, string) {
		require.NoError(t, err)
		require.Equal(t, http.MethodPost, req.Method)
		require.Contains(t, req.Header.Get("User-Agent"), "APIs-Google")
		body, err := io.ReadAll(req.Body)
		require.NoError(t, err)
		return req.Header, string(body)
	}
	h, body := read(pushtest.Wrapped(t.Context(), "http://e", "projects/p/subscriptions/s", m))
	require.Equal(t, "application/json", h.Get("Content-Type"))
	require.JSONEq(t, `{"message":{"data":"aGVsbG8=","messageId":"7","message_id":"7","publishTime":"`+at+`","publish_time":"`+at+`",`+
		`"orderingKey":"k","attributes":{"a":"b"}},"subscription":"projects/p/subscriptions/s","deliveryAttempt":3}`, body)

	h, body = read(pushtest.Unwrapped(t.Context(), "http://e", "projects/p/subscriptions/s", m))
	require.Equal(t, "hello", body)
	for name, want := range map[string]string{
		"a": "b", "subscription-name": "projects/p/subscriptions/s", "message-id": "7", "publish-time": at, "ordering-key": "k", "delivery-attempt": "",
	} {
		if name != "a" {
			name = "x-goog-pubsub-" + name
		}
		require.Equal(t, want, h.Get(name), name)
	}
}
