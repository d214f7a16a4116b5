package pubsubpush_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/handler"
)

func TestVerdictsAreStatuses(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		does  func() error
		code  int
		after string
	}{
		"ack":       {func() error { return nil }, 204, ""},
		"drop":      {func() error { return handler.Drop(broken) }, 204, ""},
		"retry":     {func() error { return broken }, 500, ""},
		"delayed":   {func() error { return handler.RetryAfter(1500*time.Millisecond, broken) }, 503, "2"},
		"at once":   {func() error { return handler.RetryAfter(0, broken) }, 503, "0"},
		"for ever":  {func() error { return handler.RetryAfter(math.MaxInt64, broken) }, 503, "600"},
		"postponed": {func() error { return handler.Postpone(3*time.Second, nil) }, 429, "3"},
		"reject":    {func() error { return handler.Reject(broken) }, 500, ""}, // it has nowhere to go
		"panic":     {func() error { panic(handler.Drop(broken)) }, 500, ""},
		"goexit":    {func() error { runtime.Goexit(); return nil }, 500, ""},
	} {
		h := &recorder{does: func(context.Context, *handler.Message) error { return c.does() }}
		w := post(insecure(t, h, pubsubpush.Config{}), hello)
		require.Equal(t, c.code, w.Code, name)
		require.Equal(t, c.after, w.Header().Get("Retry-After"), name)
		require.Empty(t, w.Body.String(), name)
	}
}

func TestFormats(t *testing.T) {
	h := &recorder{}
	require.Equal(t, 204, post(insecure(t, h, pubsubpush.Config{}), `{"message":{"data":"aGVsbG8=","messageId":"7","orderingKey":"k",`+
		`"publishTime":"2026-02-26T19:13:55.749Z","attributes":{"sluice-dedupe-id":"d","sluice-esc-googx":"v","traceparent":"00-x"}},`+
		`"subscription":"projects/p/subscriptions/orders","deliveryAttempt":3}`).Code)
	m := h.last(t)
	require.Equal(t, "hello", string(m.Body))
	require.Equal(t, "7", m.ID)
	require.Equal(t, "k", m.Group)
	require.Equal(t, "d", m.DedupeID)
	require.Equal(t, 3, m.Attempt)
	require.Equal(t, map[string]string{"googx": "v", "traceparent": "00-x"}, m.Attributes)
	require.Equal(t, "orders", m.Origin().Queue)
	require.ErrorIs(t, m.Lease().Extend(t.Context(), time.Second), handler.ErrNoLease)

	require.Equal(t, 204, post(insecure(t, h, pubsubpush.Config{Format: pubsubpush.Unwrapped}), "raw",
		"X-Goog-Pubsub-Message-Id", "8", "X-Goog-Pubsub-Ordering-Key", "k", "X-Goog-Pubsub-Subscription-Name", "projects/p/subscriptions/s",
		"Own", "v", "User-Agent", "APIs-Google", "X-Forwarded-For", "1.2.3.4").Code)
	m = h.last(t)
	require.Equal(t, "raw", string(m.Body))
	require.Equal(t, []string{"8", "k"}, []string{m.ID, m.Group})
	require.Equal(t, map[string]string{"own": "v"}, m.Attributes)

	ce := insecure(t, h, pubsubpush.Config{Format: pubsubpush.CloudEvents})
	require.Equal(t, 204, post(ce, `{"a":1}`, "Content-Type", "application/json", "ce-id", "e1", "ce-source", "//s", "ce-type", "t",
		"ce-specversion", "1.0", "ce-subject", "a%20b", "Accept", "x").Code)
	require.Equal(t, map[string]string{"content-type": "application/json", "ce-id": "e1", "ce-source": "//s", "ce-type": "t",
		"ce-specversion": "1.0", "ce-subject": "a b"}, h.last(t).Attributes)
	event := `{"specversion":"1.0","id":"e2","type":"t","source":"//s","data":{}}`
	require.Equal(t, 204, post(ce, event, "Content-Type", "application/cloudevents+json; charset=utf-8").Code)
	require.Equal(t, event, string(h.last(t).Body))
	require.Equal(t, "application/cloudevents+json; charset=utf-8", h.last(t).Attribute("content-type"))
	require.Equal(t, 204, post(ce, hello, "ce-type", "google.cloud.pubsub.topic.v1.messagePublished").Code)
	require.Equal(t, "hello", string(h.last(t).Body))
}

func TestWhatCannotBeReadIsRefused(t *testing.T) {
	h := &recorder{}
	e := insecure(t, h, pubsubpush.Config{MaxMessageBytes: 1000})
	for body, code := range map[string]int{
		"": 400, "raw": 400, "{}": 400, `{"message":{}}`: 400, `{"message":{"messageId":"1","data":"%"}}`: 400, hello + "x": 400,
		`{"message":{"messageId":"1","data":"` + strings.Repeat("A", 1400) + `"}}`:      413,
		`{"message":{"messageId":"1","data":"` + strings.Repeat("A", 2_000_000) + `"}}`: 413,
	} {
		require.Equal(t, code, post(e, body).Code, "%.60s", body)
	}
	require.EqualValues(t, 8, e.Stats().Malformed)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/push", http.NoBody))
	require.Equal(t, 405, w.Code)
	require.Zero(t, h.count())
}

func TestTimeConcurrencyAndBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &recorder{does: func(ctx context.Context, _ *handler.Message) error { <-ctx.Done(); return context.Cause(ctx) }}
		e := insecure(t, h, pubsubpush.Config{Concurrency: 1, Timeout: 5 * time.Second})
		began, code := time.Now(), make(chan int, 1)
		go func() { code <- post(e, hello).Code }()
		synctest.Wait()
		require.Equal(t, 429, post(e, hello).Code)
		require.Equal(t, 500, <-code)
		require.Equal(t, 5*time.Second, time.Since(began))
		require.EqualValues(t, 1, e.Stats().Busy)

		var cause error
		ctx, cancel := context.WithCancel(t.Context())
		e = insecure(t, handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return nil
		}), pubsubpush.Config{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(hello)))
		}()
		synctest.Wait()
		cancel()
		<-done
		require.ErrorIs(t, cause, handler.ErrLeaseLost)
		require.EqualValues(t, 1, e.Stats().Late)
		require.Zero(t, e.Stats().Acked)

		sizes := make(chan int, 10)
		b, err := handler.Batch(handler.BatchHandlerFunc(func(_ context.Context, ms []*handler.Message) []error {
			sizes <- len(ms)
			errs := make([]error, len(ms))
			errs[0] = errors.New("the first of a batch fails")
			return errs
		}), &handler.BatchConfig{MaxCount: 4, MaxWait: time.Second})
		require.NoError(t, err)
		e = insecure(t, b, pubsubpush.Config{})
		codes := make(chan int, 4)
		for range 4 {
			go func() { codes <- post(e, hello).Code }()
		}
		n := map[int]int{}
		for range 4 {
			n[<-codes]++
		}
		require.Equal(t, 4, <-sizes)
		require.Equal(t, map[int]int{204: 3, 500: 1}, n)
	})
}
