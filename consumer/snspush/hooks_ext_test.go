package snspush_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/snspush"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/broken"
	"github.com/sluice-go/sluice/internal/test/snstest"
)

// TestUserCodeThatFails has each piece of user code fail in each way. Every request
// over a real server is answered, and by the verdict.
func TestUserCodeThatFails(t *testing.T) {
	a := snstest.Start(t)
	boom := errors.New("boom")
	for how, fail := range broken.Ways() {
		bad := broken.Error{Fail: fail}
		for what, c := range map[string]struct {
			kind   string // of the request; empty: a notification
			handle func() error
			config func(*snspush.Config)
			code   int
			letter bool
		}{
			"handler":               {handle: func() error { fail(); return nil }, code: 503},
			"error":                 {handle: func() error { return bad }, code: 503},
			"joined error":          {handle: func() error { return errors.Join(boom, bad) }, code: 503},
			"reason of a drop":      {handle: func() error { return handler.Drop(bad) }, code: 200},
			"reason of a delay":     {handle: func() error { return handler.RetryAfter(time.Second, bad) }, code: 503},
			"postponed":             {handle: func() error { return handler.Postpone(time.Second, nil) }, code: 503},
			"reason of a rejection": {handle: func() error { return handler.Reject(bad) }, code: 200, letter: true},
			"typed nil rejected":    {handle: func() error { return handler.Reject((*broken.TypedNil)(nil)) }, code: 200, letter: true},
			"logger": {handle: func() error { return handler.Drop(boom) }, code: 200,
				config: func(c *snspush.Config) { c.Logger = slog.New(broken.Hook{Fail: fail}) }},
			"dead-letter function": {handle: func() error { return handler.Reject(boom) }, code: 503,
				config: func(c *snspush.Config) {
					c.DeadLetter = func(context.Context, *handler.Message, error) error { fail(); return nil }
				}},
			"its error": {handle: func() error { return handler.Reject(boom) }, code: 503,
				config: func(c *snspush.Config) {
					c.DeadLetter = func(context.Context, *handler.Message, error) error { return bad }
				}},
			"host":   {code: 403, config: func(c *snspush.Config) { c.Host = func(string) bool { fail(); return true } }},
			"client": {code: 503, config: func(c *snspush.Config) { c.Client = &http.Client{Transport: broken.Hook{Fail: fail}} }},
			"client that confirms": {kind: "SubscriptionConfirmation", code: 503, config: func(c *snspush.Config) {
				c.Client = &http.Client{Transport: onlyCertificates{a.Client().Transport, broken.Hook{Fail: fail}}}
			}},
		} {
			t.Run(what+"/"+how, func(t *testing.T) {
				var reason error
				e := endpoint(t, a, handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
					if c.handle == nil {
						return nil
					}
					m.Body = []byte("changed")
					return c.handle()
				}), func(config *snspush.Config) {
					config.Logger = slog.New(slog.DiscardHandler)
					config.DeadLetter = func(_ context.Context, m *handler.Message, err error) error {
						require.Equal(t, "Hello\nworld!", string(m.Body))
						reason = err
						return nil
					}
					if c.config != nil {
						c.config(config)
					}
				})
				server := httptest.NewServer(e)
				defer server.Close()
				kind := c.kind
				if kind == "" {
					kind = "Notification"
				}
				body, err := json.Marshal(a.Sign(a.Document(kind)))
				require.NoError(t, err)
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, bytes.NewReader(body))
				require.NoError(t, err)
				resp, err := server.Client().Do(r)
				require.NoError(t, err, "the request was not answered")
				require.NoError(t, resp.Body.Close())
				require.Equal(t, c.code, resp.StatusCode)
				if c.letter {
					require.ErrorContains(t, reason, "whose Error method panicked")
				}
			})
		}
	}
}

// onlyCertificates has one transport get certificates and another the rest.
type onlyCertificates struct{ certificates, rest http.RoundTripper }

func (o onlyCertificates) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/good.pem" {
		return o.certificates.RoundTrip(r)
	}
	return o.rest.RoundTrip(r)
}

// The panic of a batch handler is logged with its stack.
func TestTheFaultOfABatchHandlerIsLogged(t *testing.T) {
	a := snstest.Start(t)
	b, err := handler.Batch(handler.BatchHandlerFunc(func(context.Context, []*handler.Message) []error { panic("boom") }),
		&handler.BatchConfig{MaxCount: 1})
	require.NoError(t, err)
	var logs bytes.Buffer
	e := endpoint(t, a, b, func(c *snspush.Config) { c.Logger = slog.New(slog.NewTextHandler(&logs, nil)) })
	require.Equal(t, http.StatusServiceUnavailable, post(t, e, a.Sign(a.Document("Notification"))))
	require.Equal(t, 1, bytes.Count(logs.Bytes(), []byte("handler panicked")))
	require.Contains(t, logs.String(), "TestTheFaultOfABatchHandlerIsLogged", "its stack")
}
