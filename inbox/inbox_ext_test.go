package inbox_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/webhook"
	"github.com/sluice-go/sluice/inbox"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
	"github.com/sluice-go/sluice/producer"
)

// queue keeps what was sent, or fails.
type queue struct {
	mu   sync.Mutex
	sent []*handler.Message
	err  error
	full bool
}

func (q *queue) Send(_ context.Context, ms ...*handler.Message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return q.err
	}
	q.sent = append(q.sent, ms...)
	return nil
}

func (q *queue) Overloaded() bool { return q.full }

func newInbox(t testing.TB, p inbox.Provider, q inbox.Sender, c *inbox.Config) *inbox.Inbox {
	t.Helper()
	if c == nil {
		c = &inbox.Config{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	in, err := inbox.New(p, q, c)
	require.NoError(t, err)
	return in
}

func post(t testing.TB, h http.Handler, header http.Header, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
	r.Header = header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRecordedRequestsAreQueued(t *testing.T) {
	t.Parallel()
	for _, r := range recordings {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			q := &queue{}
			w := post(t, newInbox(t, r.provider(t), q, nil), r.headers(), []byte(r.body))
			require.Equal(t, http.StatusAccepted, w.Code, w.Body)
			want := map[string]string{"content-type": "application/json", "type": r.kind}
			if r.kind == "" {
				delete(want, "type")
			}
			require.Equal(t, []*handler.Message{{Body: []byte(r.body), DedupeID: r.id, Attributes: want}}, q.sent)
		})
	}
}

// One byte of the body or of the signature that is changed is 401, whichever it is.
func TestOneByteChangedIsRefused(t *testing.T) {
	t.Parallel()
	for _, r := range recordings {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			q := &queue{}
			in := newInbox(t, r.provider(t), q, nil)
			for i := range len(r.body) {
				body := []byte(r.body)
				body[i] ^= 1
				require.Equal(t, http.StatusUnauthorized, post(t, in, r.headers(), body).Code, "byte %d", i)
			}
			for _, body := range []string{"", r.body + "\n", r.body[1:]} {
				require.Equal(t, http.StatusUnauthorized, post(t, in, r.headers(), []byte(body)).Code)
			}
			signature := r.header[r.signed]
			end := len(signature)
			if i := strings.Index(signature, ",v0="); i >= 0 {
				end = i // Stripe's v0 does not count
			}
			for i := range end {
				b := []byte(signature)
				b[i] ^= 1
				h := r.headers()
				h.Set(r.signed, string(b))
				require.Equal(t, http.StatusUnauthorized, post(t, in, h, []byte(r.body)).Code, "%q", b)
			}
			for name := range r.header {
				if name == "X-Shopify-Webhook-Id" || name == "X-Shopify-Shop-Domain" {
					continue
				}
				h := r.headers()
				h.Add(name, h.Get(name))
				if name != "webhook-signature" { // of which there may be several
					require.Equal(t, http.StatusUnauthorized, post(t, in, h, []byte(r.body)).Code, "two of %s", name)
				}
				h.Del(name)
				require.Equal(t, http.StatusUnauthorized, post(t, in, h, []byte(r.body)).Code, "no %s", name)
			}
			require.Empty(t, q.sent)
		})
	}
}

// A request that is sent twice has one effect.
func TestSentTwiceIsOneEffect(t *testing.T) {
	t.Parallel()
	for _, r := range recordings {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			q := &queue{}
			in := newInbox(t, r.provider(t), q, nil)
			for range 2 {
				require.Equal(t, http.StatusAccepted, post(t, in, r.headers(), []byte(r.body)).Code)
			}
			marks, err := open.URL(t.Context(), "mem:")
			require.NoError(t, err)
			once, err := idempotency.New(marks.Store, nil)
			require.NoError(t, err)
			effects := 0
			h := once(handler.HandlerFunc(func(context.Context, *handler.Message) error { effects++; return nil }))
			require.Len(t, q.sent, 2)
			for i, m := range q.sent {
				m.ID = string(rune('a' + i)) // as the queue gives each its own
				require.NoError(t, h.Handle(t.Context(), m))
			}
			require.Equal(t, 1, effects)
		})
	}
}

// An event of one sender is not a duplicate of another's with the same ID.
func TestSendersHaveNamespaces(t *testing.T) {
	t.Parallel()
	same := custom(func() (*inbox.Event, error) { return &inbox.Event{ID: "1"}, nil })
	q := &queue{}
	for _, namespace := range []string{"", "acme", "globex"} {
		in := newInbox(t, same, q, &inbox.Config{Namespace: namespace})
		require.Equal(t, http.StatusAccepted, post(t, in, nil, []byte("x")).Code)
	}
	ids := make([]string, len(q.sent))
	for i, m := range q.sent {
		ids[i] = m.DedupeID
	}
	require.Equal(t, []string{"1", "acme:1", "globex:1"}, ids)
	for _, bad := range []string{"a:b", "a b", "a\n", strings.Repeat("x", 65)} {
		_, err := inbox.New(same, q, &inbox.Config{Namespace: bad})
		require.ErrorContains(t, err, "Namespace is")
	}
}

// On a queue that drops duplicates, as a FIFO queue does, it is one message.
func TestSentTwiceIsOneMessageOfAQueueThatDropsDuplicates(t *testing.T) {
	t.Parallel()
	var queues mem.Opener
	sink, err := queues.Sink(t.Context(), "hooks", &mem.Config{DedupeWindow: time.Minute})
	require.NoError(t, err)
	p, err := producer.New(sink, nil)
	require.NoError(t, err)
	defer p.Close()
	r := recordings[0]
	in := newInbox(t, r.provider(t), p, nil)
	for range 2 {
		require.Equal(t, http.StatusAccepted, post(t, in, r.headers(), []byte(r.body)).Code)
	}
	source, err := queues.Source(t.Context(), "hooks", &mem.Config{DedupeWindow: time.Minute})
	require.NoError(t, err)
	defer source.Close()
	inspector, ok := any(source).(drivers.Inspector)
	require.True(t, ok)
	depth, err := inspector.Depth(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, depth.Visible)
}

func TestTimestampsHaveATolerance(t *testing.T) {
	t.Parallel()
	const then = 1531420618
	slack := recordings[3]
	for off, want := range map[time.Duration]int{
		0: 202, 5 * time.Minute: 202, -5 * time.Minute: 202, 5*time.Minute + time.Second: 401, -5*time.Minute - time.Second: 401, 24 * time.Hour: 401,
	} {
		p, err := inbox.NewSlack([]string{slackSecret}, at(then+int64(off/time.Second)))
		require.NoError(t, err)
		require.Equal(t, want, post(t, newInbox(t, p, &queue{}, nil), slack.headers(), []byte(slack.body)).Code, off)
	}
	p, err := inbox.NewStripe([]string{stripeSecret}, &webhook.VerifierConfig{Tolerance: time.Second, Now: at(1492774579).Now})
	require.NoError(t, err)
	require.Equal(t, 401, post(t, newInbox(t, p, &queue{}, nil), recordings[7].headers(), []byte(recordings[7].body)).Code)
}

func TestHandshakesAreAnsweredAndNotQueued(t *testing.T) {
	t.Parallel()
	h := http.Header{"X-Slack-Request-Timestamp": {"1531420618"},
		"X-Slack-Signature": {"v0=f9bd80929259f3f6d5fe3a3186c453c89cd1ad4862815a15837584f31c993652"}}
	const challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
	body := []byte(`{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"` + challenge + `","type":"url_verification"}`)
	q := &queue{}
	in := newInbox(t, slack(t), q, nil)
	w := post(t, in, h, body)
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, challenge, w.Body.String())
	require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
	require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	// A challenge that is not signed is not repeated to whoever asks.
	h.Set("X-Slack-Signature", "v0="+hex.EncodeToString(make([]byte, 32)))
	w = post(t, in, h, body)
	require.Equal(t, http.StatusUnauthorized, w.Code)
	require.NotContains(t, w.Body.String(), challenge)

	ping := recordings[2].headers()
	ping.Set("X-GitHub-Event", "ping")
	require.Equal(t, http.StatusOK, post(t, newInbox(t, github(t), q, nil), ping, []byte(recordings[2].body)).Code)
	require.Empty(t, q.sent)
}

// A sender sends again later what the queue cannot take now. The answer says when.
func TestWhenTheQueueCannotTakeIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		queue  *queue
		status int
		retry  string
	}{
		"overloaded":          {&queue{err: producer.ErrOverloaded}, 429, "2"},
		"overloaded already":  {&queue{full: true}, 429, "2"},
		"throttled":           {&queue{err: &drivers.Error{Code: drivers.Throttled}}, 429, "2"},
		"down":                {&queue{err: &drivers.Error{Code: drivers.Transient}}, 503, "2"},
		"denied":              {&queue{err: &drivers.Error{Code: drivers.Denied}}, 503, "2"},
		"unknown":             {&queue{err: producer.ErrUnknown}, 503, "2"},
		"too large for queue": {&queue{err: &drivers.Error{Code: drivers.Invalid}}, 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := recordings[0]
			w := post(t, newInbox(t, r.provider(t), c.queue, &inbox.Config{RetryAfter: 1500 * time.Millisecond}), r.headers(), []byte(r.body))
			require.Equal(t, c.status, w.Code)
			require.Equal(t, c.retry, w.Header().Get("Retry-After"))
			require.Empty(t, c.queue.sent)
		})
	}
}

// stuck is a queue that does not answer.
type stuck struct{ entered chan struct{} }

func (s stuck) Send(ctx context.Context, _ ...*handler.Message) error {
	s.entered <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

// A queue that does not answer is down before the sender gives up, and does not hold
// more requests than it may.
func TestAQueueThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := recordings[0]
		q := stuck{make(chan struct{})}
		in := newInbox(t, r.provider(t), q, &inbox.Config{MaxInFlight: 1})
		answer := make(chan int)
		began := time.Now()
		go func() { answer <- post(t, in, r.headers(), []byte(r.body)).Code }()
		<-q.entered
		require.Equal(t, http.StatusTooManyRequests, post(t, in, r.headers(), []byte(r.body)).Code)
		require.Equal(t, http.StatusServiceUnavailable, <-answer)
		require.Equal(t, 2500*time.Millisecond, time.Since(began))
	})
}

// custom is a provider of the user's.
type custom func() (*inbox.Event, error)

func (c custom) Read(context.Context, http.Header, []byte) (*inbox.Event, error) { return c() }

func TestAnswersToOtherRequests(t *testing.T) {
	t.Parallel()
	event := func(e inbox.Event) custom { return func() (*inbox.Event, error) { return &e, nil } }
	fails := func(err error) custom { return func() (*inbox.Event, error) { return nil, err } }
	for name, c := range map[string]struct {
		provider custom
		method   string
		body     io.Reader
		status   int
	}{
		"an event":                    {event(inbox.Event{ID: "e"}), http.MethodPost, nil, 202},
		"the largest body":            {event(inbox.Event{ID: "e"}), http.MethodPost, strings.NewReader(strings.Repeat("x", 100)), 202},
		"a larger body":               {event(inbox.Event{ID: "e"}), http.MethodPost, strings.NewReader(strings.Repeat("x", 101)), 413},
		"a body that breaks off":      {event(inbox.Event{ID: "e"}), http.MethodPost, io.MultiReader(strings.NewReader("x"), broken{}), 400},
		"GET":                         {event(inbox.Event{ID: "e"}), http.MethodGet, nil, 405},
		"no ID":                       {event(inbox.Event{}), http.MethodPost, nil, 400},
		"an ID with a line feed":      {event(inbox.Event{ID: "a\nb"}), http.MethodPost, nil, 400},
		"a long ID":                   {event(inbox.Event{ID: strings.Repeat("x", 257)}), http.MethodPost, nil, 400},
		"a type beyond ASCII":         {event(inbox.Event{ID: "e", Type: "\u00e9"}), http.MethodPost, nil, 400},
		"not an event":                {fails(errors.New("not an event")), http.MethodPost, nil, 400},
		"not signed":                  {fails(inbox.ErrSignature), http.MethodPost, nil, 401},
		"not verifiable":              {fails(inbox.ErrUnavailable), http.MethodPost, nil, 503},
		"nothing":                     {func() (*inbox.Event, error) { return nil, nil }, http.MethodPost, nil, 503},
		"a provider that panics":      {func() (*inbox.Event, error) { panic("boom") }, http.MethodPost, nil, 503},
		"an error that panics itself": {fails((*drivers.Error)(nil)), http.MethodPost, nil, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := &queue{}
			w := httptest.NewRecorder()
			newInbox(t, c.provider, q, &inbox.Config{MaxBytes: 100}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, "/", c.body))
			require.Equal(t, c.status, w.Code)
			require.Len(t, q.sent, map[bool]int{true: 1}[c.status == 202])
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Neither the log nor an answer has a body, a signature or a secret in it.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	for _, r := range recordings {
		for _, change := range []func(h http.Header, body string) string{
			func(h http.Header, body string) string { h.Del(r.signed); return body },
			func(_ http.Header, body string) string { return body + "!" },
			func(_ http.Header, body string) string { return body },
		} {
			var logs bytes.Buffer
			in := newInbox(t, r.provider(t), &queue{err: errors.New("down")}, &inbox.Config{Logger: slog.New(slog.NewTextHandler(&logs, nil))})
			h := r.headers()
			w := post(t, in, h, []byte(change(h, r.body)))
			require.NotEqual(t, http.StatusAccepted, w.Code)
			for _, text := range []string{logs.String(), w.Body.String()} {
				for _, secret := range []string{r.body, r.header[r.signed], standardSecret, slackSecret, stripeSecret, "hush", "Everybody"} {
					require.NotContains(t, text, secret)
				}
			}
			require.Equal(t, 1, strings.Count(logs.String(), "\n"))
			require.NotEqual(t, http.StatusAccepted, post(t, in, h, nil).Code)
		}
	}
}

func TestHeadersBecomeAttributes(t *testing.T) {
	t.Parallel()
	q := &queue{}
	r := recordings[len(recordings)-1]
	in := newInbox(t, r.provider(t), q, &inbox.Config{Headers: []string{"x-shopify-shop-domain", "X-Absent"}})
	require.Equal(t, http.StatusAccepted, post(t, in, r.headers(), []byte(r.body)).Code)
	require.Equal(t, map[string]string{"content-type": "application/json", "type": "orders/create", "x-shopify-shop-domain": "johns-apparel.myshopify.com"},
		q.sent[0].Attributes)
}

func TestConstructorsRefuse(t *testing.T) {
	t.Parallel()
	_, err := inbox.New(nil, nil, &inbox.Config{MaxBytes: -1, MaxInFlight: -1, Timeout: -1, RetryAfter: -1, Headers: []string{"", "Cookie", "Sluice-Identity", "Type"}})
	for _, says := range []string{"provider is nil", "queue is nil", "MaxBytes", "MaxInFlight", "Timeout", "RetryAfter", "Headers[0] is empty",
		"Cookie has credentials", "Sluice-Identity would be", "Type would be"} {
		require.ErrorContains(t, err, says)
	}
	for _, secrets := range [][]string{nil, {""}, {"good", "bad\n"}} {
		_, err := inbox.NewGitHub(secrets...)
		require.ErrorContains(t, err, "inbox: GitHub: ")
		require.NotContains(t, err.Error(), "bad")
		_, err = inbox.NewShopify(secrets...)
		require.ErrorContains(t, err, "inbox: Shopify: ")
		_, err = inbox.NewSlack(secrets, nil)
		require.ErrorContains(t, err, "inbox: Slack: ")
		_, err = inbox.NewStripe(secrets, &webhook.VerifierConfig{Tolerance: -1})
		require.ErrorContains(t, err, "inbox: Stripe: ")
		require.ErrorContains(t, err, "Tolerance is -1ns")
		_, err = inbox.NewStandard(secrets, nil)
		require.Error(t, err)
	}
	_, err = inbox.NewSNS([]string{"orders"}, &inbox.SNSConfig{MaxAge: -1})
	require.ErrorContains(t, err, "not the ARN")
	require.ErrorContains(t, err, "MaxAge")
}
