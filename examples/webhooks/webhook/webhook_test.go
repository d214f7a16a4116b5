package webhook_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	hooks "github.com/sluice-go/sluice/examples/webhooks/webhook"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/httphandler"
	"github.com/sluice-go/sluice/handler/webhook"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/producer"
)

var (
	now       = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	secret    = "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	oldSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("old-old-old-old-old-old-old-old!"))
	foreign   = "whsec_" + base64.StdEncoding.EncodeToString([]byte("foreign-foreign-foreign-foreign!"))
)

const body = `{"type":"invoice.paid", "amount": 1.0}`

// queue keeps what was sent, or fails.
type queue struct {
	sent []*handler.Message
	err  error
}

func (q *queue) Send(_ context.Context, ms ...*handler.Message) error {
	if q.err != nil {
		return q.err
	}
	q.sent = append(q.sent, ms...)
	return nil
}

func endpoint(t *testing.T, q *queue) http.Handler {
	t.Helper()
	v, err := webhook.NewVerifier([]string{secret, oldSecret}, &webhook.VerifierConfig{Now: func() time.Time { return now }})
	require.NoError(t, err)
	return hooks.Endpoint(v, q)
}

func signed(t *testing.T, key, id string, at time.Time) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hooks", strings.NewReader(body))
	s, err := webhook.NewSigner(key)
	require.NoError(t, err)
	require.NoError(t, s.Sign(r.Header, id, at, []byte(body)))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestWhatIsTaken(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *http.Request)
		key    string
		at     time.Time
		status int
	}{
		{"signed", nil, secret, now, http.StatusAccepted},
		{"signed with the secret that is rotated out", nil, oldSecret, now, http.StatusAccepted},
		{"at the end of the tolerance", nil, secret, now.Add(-webhook.DefaultTolerance), http.StatusAccepted},
		{"with a second signature of another version", func(r *http.Request) {
			r.Header.Set(webhook.HeaderSignature, "v2,xyz "+r.Header.Get(webhook.HeaderSignature))
		}, secret, now, http.StatusAccepted},
		{"signed with a foreign secret", nil, foreign, now, http.StatusUnauthorized},
		{"too old", nil, secret, now.Add(-webhook.DefaultTolerance - time.Second), http.StatusUnauthorized},
		{"from the future", nil, secret, now.Add(webhook.DefaultTolerance + time.Second), http.StatusUnauthorized},
		{"without a signature", func(r *http.Request) { r.Header.Del(webhook.HeaderSignature) }, secret, now, http.StatusUnauthorized},
		{"without an ID", func(r *http.Request) { r.Header.Del(webhook.HeaderID) }, secret, now, http.StatusUnauthorized},
		{"without a timestamp", func(r *http.Request) { r.Header.Del(webhook.HeaderTimestamp) }, secret, now, http.StatusUnauthorized},
		{"with another ID", func(r *http.Request) { r.Header.Set(webhook.HeaderID, "evt_2") }, secret, now, http.StatusUnauthorized},
		{"with another timestamp", func(r *http.Request) { r.Header.Set(webhook.HeaderTimestamp, "1795521599") }, secret, now, http.StatusUnauthorized},
		{"with a timestamp that is none", func(r *http.Request) { r.Header.Set(webhook.HeaderTimestamp, "noon") }, secret, now, http.StatusUnauthorized},
		{"with an ID that moves bytes", func(r *http.Request) { r.Header.Set(webhook.HeaderID, "evt.1") }, secret, now, http.StatusUnauthorized},
		{"with a body that was parsed and written again", func(r *http.Request) {
			r.Body = http.NoBody
		}, secret, now, http.StatusUnauthorized},
		{"with a signature that is no base64", func(r *http.Request) { r.Header.Set(webhook.HeaderSignature, "v1,***") }, secret, now, http.StatusUnauthorized},
		{"with an empty signature", func(r *http.Request) { r.Header.Set(webhook.HeaderSignature, "v1,") }, secret, now, http.StatusUnauthorized},
		{"too large", func(r *http.Request) {
			r.Body = http.MaxBytesReader(nil, readCloser{bytes.NewReader(make([]byte, 1<<20))}, 1<<21)
		}, secret, now, http.StatusRequestEntityTooLarge},
		{"with another method", func(r *http.Request) { r.Method = http.MethodGet }, secret, now, http.StatusMethodNotAllowed},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := &queue{}
			r := signed(t, c.key, "evt_1", c.at)
			if c.change != nil {
				c.change(r)
			}
			w := httptest.NewRecorder()
			endpoint(t, q).ServeHTTP(w, r)
			require.Equal(t, c.status, w.Code, w.Body)
			if c.status != http.StatusAccepted {
				require.Empty(t, q.sent)
				return
			}
			require.Len(t, q.sent, 1)
			require.True(t, bytes.Equal([]byte(body), q.sent[0].Body), "the raw body")
			require.Equal(t, "evt_1", q.sent[0].DedupeID)
			require.Equal(t, "application/json", q.sent[0].Attribute(hooks.AttributeType))
		})
	}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func TestWhenTheQueueCannotTakeIt(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{{producer.ErrOverloaded, http.StatusTooManyRequests}, {errors.New("down"), http.StatusServiceUnavailable}} {
		w := httptest.NewRecorder()
		endpoint(t, &queue{err: c.err}).ServeHTTP(w, signed(t, secret, "evt_1", now))
		require.Equal(t, c.status, w.Code)
	}
}

func TestAnEventSentTwiceIsHandledOnce(t *testing.T) {
	q := &queue{}
	e := endpoint(t, q)
	for _, id := range []string{"evt_1", "evt_1", "evt_2", "evt_1"} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, signed(t, secret, id, now))
		require.Equal(t, http.StatusAccepted, w.Code)
	}
	once, err := idempotency.New(new(idempotency.Memory), nil)
	require.NoError(t, err)
	var handled []string
	h := once(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		handled = append(handled, m.DedupeID)
		return nil
	}))
	for i, m := range q.sent {
		m.ID = string(rune('a' + i)) // as the queue gives each its own
		require.NoError(t, h.Handle(t.Context(), m))
	}
	require.Equal(t, []string{"evt_1", "evt_2"}, handled)
}

// The endpoint takes the requests of the framework's own HTTP handler.
func TestTheHTTPHandlerIsASender(t *testing.T) {
	q := &queue{}
	server := httptest.NewServer(endpoint(t, q))
	defer server.Close()
	for key, want := range map[string]handler.Action{secret: handler.ActionAck, oldSecret: handler.ActionAck, foreign: handler.ActionDeadLetter} {
		signer, err := webhook.NewSigner(key)
		require.NoError(t, err)
		h, err := httphandler.New(server.URL, &httphandler.Config{Signer: signer, Now: func() time.Time { return now }})
		require.NoError(t, err)
		err = h.Handle(t.Context(), &handler.Message{ID: "m-1", DedupeID: "evt_1", Body: []byte(body)})
		require.Equal(t, want, handler.VerdictOf(err).Action, err)
		require.NoError(t, h.Close())
	}
	require.Len(t, q.sent, 2)
	for _, m := range q.sent {
		require.True(t, bytes.Equal([]byte(body), m.Body), "the raw body")
		require.Equal(t, "evt_1", m.DedupeID)
	}
}
