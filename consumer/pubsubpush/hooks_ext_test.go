package pubsubpush_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/broken"
)

type badSink struct {
	sink
	fail func()
}

func (s *badSink) Send(context.Context, []*handler.Message) []error { s.fail(); return nil }

// TestUserCodeThatFails has each piece of user code fail in each way. Every push
// over a real server is answered, and by the verdict.
func TestUserCodeThatFails(t *testing.T) {
	issuer := newIssuer(t)
	token, err := issuer.Token(audience, email)
	require.NoError(t, err)
	for how, fail := range broken.Ways() {
		bad := broken.Error{Fail: fail}
		for what, c := range map[string]struct {
			handle  func() error
			config  pubsubpush.Config
			code    int
			letters int
		}{
			"handler":               {handle: func() error { fail(); return nil }, code: 500},
			"observer":              {config: pubsubpush.Config{Observers: []handler.Observer{broken.Hook{Fail: fail}}}, code: 204},
			"logger":                {handle: func() error { return handler.Drop(errBroken) }, config: pubsubpush.Config{Logger: slog.New(broken.Hook{Fail: fail})}, code: 204},
			"sink":                  {handle: func() error { return handler.Reject(errBroken) }, config: pubsubpush.Config{DeadLetter: &badSink{fail: fail}}, code: 503},
			"error":                 {handle: func() error { return bad }, code: 500},
			"joined error":          {handle: func() error { return errors.Join(errBroken, bad) }, code: 500},
			"reason of a rejection": {handle: func() error { return handler.Reject(bad) }, code: 204, letters: 1},
			"reason of a drop":      {handle: func() error { return handler.Drop(bad) }, code: 204},
			"reason of a delay":     {handle: func() error { return handler.RetryAfter(time.Second, bad) }, code: 503},
			"reason postponed":      {handle: func() error { return handler.Postpone(time.Second, bad) }, code: 429},
			"keys' transport": {code: 503, config: pubsubpush.Config{
				Audiences: []string{audience}, Emails: []string{email}, KeysClient: &http.Client{Transport: broken.Hook{Fail: fail}}}},
		} {
			t.Run(what+"/"+how, func(t *testing.T) {
				if what == "reason postponed" && how == "goexit" {
					c.code = 500 // Postpone asks for the text, in the handler
				}
				letters := &sink{}
				config := c.config
				if config.DeadLetter == nil {
					config.DeadLetter = letters
				}
				if config.Audiences == nil {
					config.Insecure = true
				}
				e, err := pubsubpush.New(handler.HandlerFunc(func(context.Context, *handler.Message) error {
					if c.handle == nil {
						return nil
					}
					return c.handle()
				}), &config)
				require.NoError(t, err)
				server := httptest.NewServer(e)
				defer server.Close()
				for range 2 {
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(wrapped("projects/test-project/subscriptions/orders", 1)))
					require.NoError(t, err)
					r.Header.Set("Authorization", "Bearer "+token)
					resp, err := server.Client().Do(r)
					require.NoError(t, err, "the request was not answered")
					require.NoError(t, resp.Body.Close())
					require.Equal(t, c.code, resp.StatusCode, fmt.Sprint(e.Stats()))
				}
				require.Len(t, letters.sent, 2*c.letters)
				for _, l := range letters.sent {
					require.Contains(t, l.Attributes[drivers.AttributeDeadLetterReason], "whose Error method panicked")
				}
				require.Zero(t, e.Stats().Running)
			})
		}
	}
}

// The panic of a batch handler is logged with its stack and counted.
func TestTheFaultOfABatchHandlerIsLogged(t *testing.T) {
	for name, value := range map[string]any{"text": "boom", "typed nil": (*broken.TypedNil)(nil)} {
		t.Run(name, func(t *testing.T) {
			b, err := handler.Batch(handler.BatchHandlerFunc(func(context.Context, []*handler.Message) []error { panic(value) }),
				&handler.BatchConfig{MaxCount: 1})
			require.NoError(t, err)
			var logs bytes.Buffer
			e, err := pubsubpush.New(b, &pubsubpush.Config{Insecure: true, Logger: slog.New(slog.NewTextHandler(&logs, nil))})
			require.NoError(t, err)
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(wrapped("projects/test-project/subscriptions/orders", 1))))
			require.Equal(t, http.StatusInternalServerError, w.Code)
			require.EqualValues(t, 1, e.Stats().Panics)
			require.Equal(t, 1, strings.Count(logs.String(), "handler panicked"))
			require.Contains(t, logs.String(), "TestTheFaultOfABatchHandlerIsLogged", "its stack")
		})
	}
}
