package pubsubpush_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A journal is what a logger wrote.
type journal struct{ bytes.Buffer }

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(j, nil)) }

// take returns the lines since the last time.
func (j *journal) take(t testing.TB) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(j.String()) {
		fields := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(line), &fields))
		delete(fields, slog.TimeKey)
		lines = append(lines, fields)
	}
	j.Reset()
	return lines
}

// Refusals that any client can cause are logged once a minute, with how
// often it was not, and never with a token or a body.
func TestWhatMayBeWithEveryPushIsLoggedOnceAMinute(t *testing.T) {
	const secret = "c2VzYW1l"
	rejects := handler.HandlerFunc(func(context.Context, *handler.Message) error { return handler.Reject(errBroken) })
	sesame := strings.Replace(hello, "aGVsbG8=", secret, 1)
	for name, c := range map[string]struct {
		config pubsubpush.Config
		body   string
		header []string
		code   int
		want   map[string]any
	}{
		"refused": {
			config: pubsubpush.Config{Audiences: []string{audience}, Emails: []string{email}},
			body:   sesame, header: []string{"Authorization", "Bearer " + secret}, code: 401,
			want: map[string]any{
				"level": "WARN", "msg": "push refused", "queue": "", "status": 401.0, "remote": "192.0.2.1:1234",
				"reason": "the bearer token is not a JWT signed with RS256 or ES256",
			},
		},
		"unreadable": {
			config: pubsubpush.Config{Insecure: true}, body: `{"message":{"data":"` + secret + `"}}`, code: 400,
			want: map[string]any{
				"level": "ERROR", "msg": "push cannot be decoded: the service pushes it again; check that Format matches the subscription",
				"queue": "", "status": 400.0, "reason": "the body is not a push envelope: the message has no messageId",
			},
		},
		"no dead-letter topic": {
			config: pubsubpush.Config{Insecure: true}, body: sesame, code: 500,
			want: map[string]any{
				"level": "ERROR", "msg": "message rejected, but there is no dead-letter topic: it is retried; give the subscription one " +
					"and set Config.Subscription, or set Config.DeadLetter",
				"queue": "orders", "message": "7", "reason": "rejected: broken",
			},
		},
		"letter not published": {
			config: pubsubpush.Config{Insecure: true, DeadLetter: &sink{fails: func(int) error { return failing(drivers.Denied) }}},
			body:   sesame, code: 503,
			want: map[string]any{
				"level": "ERROR", "msg": "message rejected, but its dead letter could not be published: it is retried",
				"queue": "orders", "message": "7", "reason": "rejected: broken", "error": `queue "letters": send: denied: made to fail`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j journal
				c.config.Logger = j.logger()
				e, err := pubsubpush.New(rejects, &c.config)
				require.NoError(t, err)
				once := func(missed int) {
					require.Equal(t, c.code, post(e, c.body, c.header...).Code)
					require.NotContains(t, j.String(), secret)
					lines := j.take(t)
					require.Len(t, lines, 1)
					c.want["not_logged"] = float64(missed)
					require.Equal(t, c.want, lines[0])
				}
				once(0)
				for range 3 {
					require.Equal(t, c.code, post(e, c.body, c.header...).Code)
					pass(19 * time.Second)
				}
				require.Empty(t, j.take(t))
				pass(3 * time.Second)
				once(3)
				pass(time.Hour)
				once(0)
			})
		})
	}
}

// The minutes of different things are not one: a flood of bad tokens must not hide
// that letters are not published.
func TestAFloodOfOneThingDoesNotHideAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		h := &recorder{does: func(context.Context, *handler.Message) error { return handler.Reject(errBroken) }}
		e := insecure(t, h, pubsubpush.Config{Logger: j.logger()})
		for range 10 {
			require.Equal(t, 400, post(e, "raw").Code)
		}
		require.Equal(t, 500, post(e, hello).Code)
		require.Len(t, j.take(t), 2)
	})
}

func TestWhatIsLoggedOfAVerdict(t *testing.T) {
	of := map[string]any{"queue": "orders", "message": "7", "attempt": 0.0}
	for name, c := range map[string]struct {
		does  func(context.Context) error
		leave bool // the client, while the handler runs
		want  map[string]any
	}{
		"ack":   {does: func(context.Context) error { return nil }},
		"retry": {does: func(context.Context) error { return errBroken }},
		"drop": {
			does: func(context.Context) error { return handler.Drop(errBroken) },
			want: map[string]any{"level": "INFO", "msg": "message dropped", "reason": "dropped: broken"},
		},
		"panic": {
			does: func(context.Context) error { panic("at the disco") },
			want: map[string]any{"level": "ERROR", "msg": "handler panicked: the message is retried", "panic": "at the disco"},
		},
		"late": {
			does: func(ctx context.Context) error { <-ctx.Done(); return handler.Reject(nil) }, leave: true,
			want: map[string]any{"level": "WARN", "msg": "verdict not carried out: the service had already given up the request", "verdict": handler.ActionDeadLetter.String()},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j journal
				h := &recorder{does: func(ctx context.Context, _ *handler.Message) error { return c.does(ctx) }}
				e := insecure(t, h, pubsubpush.Config{Logger: j.logger()})
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				if c.leave {
					time.AfterFunc(takes, leave)
				}
				e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodPost, "/push", strings.NewReader(hello)))
				lines := j.take(t)
				if c.want == nil {
					require.Empty(t, lines)
					return
				}
				require.Len(t, lines, 1)
				if stack, ok := lines[0]["stack"].(string); ok {
					require.Contains(t, stack, "log_ext_test.go", "the stack does not show where the panic was")
					delete(lines[0], "stack")
				}
				maps.Copy(c.want, of)
				require.Equal(t, c.want, lines[0])
			})
		})
	}
}
