package log_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/output"
	"github.com/sluice-go/sluice/middleware/log"
)

var errBoom = errors.New("boom")

// records is a log that can be read.
type records struct{ output.Buffer }

func (r *records) read(t *testing.T) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(r.String()) {
		var one map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &one))
		all = append(all, one)
	}
	return all
}

func logger(level slog.Level) (*records, *slog.Logger) {
	r := &records{}
	return r, slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: level}))
}

func returning(err error) handler.Handler {
	return handler.HandlerFunc(func(context.Context, *handler.Message) error {
		<-time.After(time.Second)
		return err
	})
}

func TestEachVerdictHasItsRecord(t *testing.T) {
	for _, tc := range []struct {
		name  string
		err   error
		level string
		want  map[string]any
	}{
		{"ack", nil, "DEBUG", map[string]any{"verdict": "ack"}},
		{"retry", errBoom, "WARN", map[string]any{"verdict": "retry", "error": "boom"}},
		{"retry after", handler.RetryAfter(time.Minute, errBoom), "WARN",
			map[string]any{"verdict": "retry", "retry_delay": float64(time.Minute), "error": "retry after 1m0s: boom"}},
		{"postponed", handler.Postpone(time.Minute, errBoom), "DEBUG",
			map[string]any{"verdict": "retry", "retry_delay": float64(time.Minute), "postponed": true, "error": "retry after 1m0s: postponed: boom"}},
		{"reject", handler.Reject(errBoom), "ERROR", map[string]any{"verdict": "dead_letter", "error": "rejected: boom"}},
		{"drop", handler.Drop(errBoom), "WARN", map[string]any{"verdict": "drop", "error": "dropped: boom"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out, l := logger(slog.LevelDebug)
				m := &handler.Message{ID: "m1", Attempt: 3, Group: "g", Body: []byte("SECRET"), Attributes: map[string]string{"k": "SECRET"}}
				m.Bind(&handler.Origin{Queue: "orders"}, nil)
				require.Equal(t, tc.err, log.New(&log.Config{Logger: l})(returning(tc.err)).Handle(t.Context(), m))
				got := out.read(t)
				require.Len(t, got, 1)
				delete(got[0], "time")
				want := map[string]any{
					"level": tc.level, "msg": "message handled", "queue": "orders", "message_id": "m1",
					"attempt": 3.0, "group": "g", "duration": float64(time.Second),
				}
				for k, v := range tc.want {
					want[k] = v
				}
				require.Equal(t, want, got[0])
				require.NotContains(t, out.String(), "SECRET")
			})
		})
	}
}

func TestALostLeaseIsSaid(t *testing.T) {
	out, l := logger(slog.LevelWarn)
	ctx, lose := context.WithCancelCause(t.Context())
	h := log.New(&log.Config{Logger: l, SampleAcks: 1000})(handler.HandlerFunc(func(context.Context, *handler.Message) error {
		lose(handler.ErrLeaseLost)
		return nil
	}))
	require.NoError(t, h.Handle(ctx, &handler.Message{}))
	got := out.read(t)
	require.Len(t, got, 1)
	require.Equal(t, true, got[0]["lease_lost"])
	require.Equal(t, "WARN", got[0]["level"])
}

func TestAPanicIsWrittenAndGoesOn(t *testing.T) {
	out, l := logger(slog.LevelDebug)
	h := log.New(&log.Config{Logger: l})(handler.HandlerFunc(func(context.Context, *handler.Message) error { panic(errBoom) }))
	require.PanicsWithError(t, "boom", func() { _ = h.Handle(t.Context(), &handler.Message{ID: "m1"}) })
	got := out.read(t)
	require.Len(t, got, 1)
	require.Equal(t, "handler did not return", got[0]["msg"])
	require.Equal(t, "ERROR", got[0]["level"])
	require.Equal(t, "m1", got[0]["message_id"])
}

func TestAcksAreSampledAndNothingElse(t *testing.T) {
	out, l := logger(slog.LevelDebug)
	mw := log.New(&log.Config{Logger: l, SampleAcks: 10})
	var calls sync.WaitGroup
	for range 100 {
		calls.Go(func() {
			_ = mw(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })).Handle(t.Context(), &handler.Message{})
			_ = mw(handler.HandlerFunc(func(context.Context, *handler.Message) error { return errBoom })).Handle(t.Context(), &handler.Message{})
		})
	}
	calls.Wait()
	count := map[any]int{}
	for _, r := range out.read(t) {
		count[r["verdict"]]++
	}
	require.Equal(t, map[any]int{"ack": 10, "retry": 100}, count)
}

func TestLevelsAreTheUsersToChoose(t *testing.T) {
	out, l := logger(slog.LevelInfo)
	c := &log.Config{Logger: l, Level: func(err error) slog.Level {
		if err == nil {
			return slog.LevelInfo
		}
		return slog.LevelDebug
	}}
	for _, err := range []error{nil, errBoom} {
		_ = log.New(c)(handler.HandlerFunc(func(context.Context, *handler.Message) error { return err })).Handle(t.Context(), &handler.Message{})
	}
	got := out.read(t)
	require.Len(t, got, 1)
	require.Equal(t, "INFO", got[0]["level"])
}

func TestLongErrorsAreCut(t *testing.T) {
	for _, text := range []string{strings.Repeat("x", 5000), strings.Repeat("ö", 5000), "x" + strings.Repeat("日", 5000), strings.Repeat("\x80", 5000)} {
		out, l := logger(slog.LevelWarn)
		h := log.New(&log.Config{Logger: l})(handler.HandlerFunc(func(context.Context, *handler.Message) error { return errors.New(text) }))
		_ = h.Handle(t.Context(), &handler.Message{})
		got := out.read(t)[0]["error"].(string)
		if utf8.ValidString(text) {
			require.LessOrEqual(t, len(got), 1<<10)
			require.True(t, strings.HasPrefix(text, got), "cut in the middle of a character")
		}
		require.Greater(t, len(got), 1<<10-utf8.UTFMax)
	}
}

func TestWithoutALoggerNothingHappens(t *testing.T) {
	require.ErrorIs(t, log.New(nil)(handler.HandlerFunc(func(context.Context, *handler.Message) error { return errBoom })).
		Handle(t.Context(), &handler.Message{}), errBoom)
}

func BenchmarkLog(b *testing.B) {
	ok := handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })
	for name, level := range map[string]slog.Level{"below the level": slog.LevelInfo, "written": slog.LevelDebug} {
		l := slog.New(slog.NewJSONHandler(discard{}, &slog.HandlerOptions{Level: level}))
		h := log.New(&log.Config{Logger: l})(ok)
		m := &handler.Message{ID: "m1", Attempt: 1}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = h.Handle(context.Background(), m)
			}
		})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestALevelThatPanicsChangesNoVerdict(t *testing.T) {
	h := handler.Chain(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }),
		log.New(&log.Config{Level: func(error) slog.Level { panic("boom") }}))
	require.NotPanics(t, func() { require.NoError(t, h.Handle(t.Context(), &handler.Message{})) })
}

// A record never changes a verdict: a Level that panics or ends its goroutine does not end
// the handler's.
func TestLevelKeepsTheVerdict(t *testing.T) {
	for name, fail := range map[string]func(){"panics": func() { panic("boom") }, "ends its goroutine": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			for _, verdict := range []error{nil, errors.New("boom")} {
				m := log.New(&log.Config{Logger: slog.New(slog.DiscardHandler), Level: func(error) slog.Level { fail(); return 0 }})
				h := m(handler.HandlerFunc(func(context.Context, *handler.Message) error { return verdict }))
				got, returned := errors.New("none"), false
				done := make(chan struct{})
				go func() {
					defer close(done)
					got = h.Handle(t.Context(), &handler.Message{})
					returned = true
				}()
				<-done
				require.True(t, returned, "the handler's goroutine has ended")
				require.Equal(t, verdict, got)
			}
		})
	}
}
