package webhook_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
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
	"github.com/sluice-go/sluice/middleware/idempotency/open"
)

var (
	secret    = "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	oldSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("old-old-old-old-old-old-old-old!"))
	foreign   = "whsec_" + base64.StdEncoding.EncodeToString([]byte("foreign-foreign-foreign-foreign!"))
)

const body = `{"type":"invoice.paid", "amount": 1.0}`

// queue keeps what was sent.
type queue struct{ sent []*handler.Message }

func (q *queue) Send(_ context.Context, ms ...*handler.Message) error {
	q.sent = append(q.sent, ms...)
	return nil
}

func endpoint(t *testing.T, q *queue) http.Handler {
	t.Helper()
	e, err := hooks.Endpoint(hooks.Secrets{Internal: []string{secret, oldSecret}, GitHub: []string{"It's a Secret to Everybody"}}, q, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return e
}

func signed(t *testing.T, key, id string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hooks/internal", strings.NewReader(body))
	s, err := webhook.NewSigner(key)
	require.NoError(t, err)
	require.NoError(t, s.Sign(r.Header, id, time.Now(), []byte(body)))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestEachSenderHasItsPath(t *testing.T) {
	q := &queue{}
	e := endpoint(t, q)
	github := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hooks/github", strings.NewReader("Hello, World!"))
	github.Header.Set("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
	github.Header.Set("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	github.Header.Set("X-GitHub-Event", "issues")
	elsewhere := signed(t, secret, "evt_3")
	elsewhere.URL.Path = "/hooks/github"
	for _, c := range []struct {
		request *http.Request
		status  int
	}{
		{signed(t, secret, "evt_1"), http.StatusAccepted}, {signed(t, oldSecret, "evt_2"), http.StatusAccepted},
		{signed(t, foreign, "evt_1"), http.StatusUnauthorized}, {elsewhere, http.StatusUnauthorized}, {github, http.StatusAccepted},
	} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, c.request)
		require.Equal(t, c.status, w.Code, w.Body)
	}
	require.Len(t, q.sent, 3)
	require.Equal(t, "invoice.paid", q.sent[0].Attribute("type"))
	require.Equal(t, "issues", q.sent[2].Attribute("type"))
}

func TestSecretsThatAreMissing(t *testing.T) {
	_, err := hooks.Endpoint(hooks.Secrets{}, &queue{}, nil)
	require.ErrorContains(t, err, "no secret")
	_, err = hooks.Endpoint(hooks.Secrets{Internal: []string{secret}}, &queue{}, nil)
	require.ErrorContains(t, err, "GitHub: no secret")
}

func TestAnEventSentTwiceIsHandledOnce(t *testing.T) {
	q := &queue{}
	e := endpoint(t, q)
	for _, id := range []string{"evt_1", "evt_1", "evt_2", "evt_1"} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, signed(t, secret, id))
		require.Equal(t, http.StatusAccepted, w.Code)
	}
	marks, err := open.URL(t.Context(), "mem:")
	require.NoError(t, err)
	once, err := idempotency.New(marks.Store, nil)
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
		h, err := httphandler.New(server.URL+"/hooks/internal", &httphandler.Config{Signer: signer})
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
