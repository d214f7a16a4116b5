//go:build unix

package exechandler

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/broken"
)

func script(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "command")
	require.NoError(t, os.WriteFile(name, []byte("#!/bin/sh\n"+text+"\n"), 0o700)) //nolint:gosec // it is run
	return name
}

// A command that is missing for a moment, as while it is deployed, has not had the
// message: that is postponed, and receiving stops until the command can be started.
func TestACommandThatIsMissingSpendsNothing(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"command", "worker"} {
		t.Run(how, func(t *testing.T) {
			name := script(t, `while read -r line; do echo '{"verdict":"ack"}'; done; exit 0`)
			var h handler.Handler
			var gate handler.GateReason
			config := Config{Logger: slog.New(slog.DiscardHandler)}
			if how == "command" {
				one, err := New([]string{name}, &config)
				require.NoError(t, err)
				h, gate = one, one.Gate().(handler.GateReason)
			} else {
				p, err := NewPool([]string{name}, &PoolConfig{Config: config, Workers: 1, MaxMessages: 1, MinRestart: time.Millisecond, MaxRestart: 20 * time.Millisecond})
				require.NoError(t, err)
				defer p.Close()
				h, gate = p, p.Gate().(handler.GateReason)
			}
			handle := func() handler.Verdict {
				return handler.VerdictOf(h.Handle(context.Background(), &handler.Message{ID: "1", Body: []byte("x"), Attempt: 1}))
			}
			require.Equal(t, handler.ActionAck, handle().Action)
			require.NoError(t, os.Rename(name, name+".away"))
			closed := false
			for range 20 {
				v := handle()
				require.True(t, v.Postponed, "%v", v.Err)
				require.Positive(t, v.Delay)
				n, _ := gate.Admit(5)
				closed = closed || n == 0
			}
			require.True(t, closed, "receiving goes on")
			require.Contains(t, gate.Reason(), "no such file")
			require.NoError(t, os.Rename(name+".away", name))
			require.Eventually(t, func() bool { return handle().Action == handler.ActionAck }, 20*time.Second, 10*time.Millisecond)
			n, _ := gate.Admit(5)
			require.Equal(t, 5, n)
			require.Empty(t, gate.Reason())
		})
	}
}

// The status of a command that was started is its verdict, as ever.
func TestACommandThatFailsHasHadTheMessage(t *testing.T) {
	t.Parallel()
	h, err := New([]string{script(t, "exit 75")}, &Config{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	for range 5 {
		v := handler.VerdictOf(h.Handle(context.Background(), &handler.Message{ID: "1"}))
		require.Equal(t, handler.ActionRetry, v.Action)
		require.False(t, v.Postponed)
	}
	n, _ := h.Gate().Admit(5)
	require.Equal(t, 5, n)
}

// A command's output is logged by goroutines of the standard library's: a logger that
// panics there would end the process.
func TestALoggerThatFails(t *testing.T) {
	t.Parallel()
	for how, fail := range broken.Ways() {
		t.Run(how, func(t *testing.T) {
			config := Config{Logger: slog.New(broken.Hook{Fail: fail})}
			h, err := New([]string{script(t, "echo out; echo err >&2")}, &config)
			require.NoError(t, err)
			require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "1"}))
			p, err := NewPool([]string{script(t, `while read -r line; do echo err >&2; echo '{"verdict":"ack"}'; done`)}, &PoolConfig{Config: config, Workers: 1})
			require.NoError(t, err)
			defer p.Close()
			for range 3 {
				require.NoError(t, p.Handle(t.Context(), &handler.Message{ID: "1"}))
			}
		})
	}
}

// A message that makes the environment too large gets to its command all the same,
// without what has no room, and the command can see that.
func TestAttributesThatHaveNoRoom(t *testing.T) {
	t.Parallel()
	many := func(n, length int) map[string]string {
		as := map[string]string{"tenant": "acme"}
		for i := range n {
			as[fmt.Sprintf("a%03d", i)] = strings.Repeat("x", length)
		}
		return as
	}
	for _, tc := range []struct {
		name       string
		attributes map[string]string
		want       string // of the names that are left out, a part
	}{
		{"few", many(3, 10), ""},
		{"one that is too long", map[string]string{"tenant": "acme", "claims": strings.Repeat("x", 200<<10)}, "*,claims"},
		{"the object of all is too long", many(2, 60<<10), "*"},
		{"too long in sum", many(100, 90<<10), "a09"},
		{"too many", many(40_000, 50), "*,a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, err := New([]string{script(t, `echo "$SLUICE_MESSAGE_ID|$SLUICE_ATTR_TENANT|$SLUICE_LEFT_OUT" > "$(dirname "$0")/got"`)}, &Config{Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "1", Attributes: tc.attributes}))
			got, err := os.ReadFile(filepath.Join(filepath.Dir(h.path), "got"))
			require.NoError(t, err)
			fields := strings.Split(strings.TrimSpace(string(got)), "|")
			require.Equal(t, []string{"1", "acme"}, fields[:2])
			if tc.want == "" {
				require.Empty(t, fields[2])
				return
			}
			require.Contains(t, fields[2], tc.want)

			h.limit = 1 << 40 // the kernel's limit is lower than it seemed
			require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "2", Attributes: tc.attributes}))
			got, err = os.ReadFile(filepath.Join(filepath.Dir(h.path), "got"))
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(got), "2|"))
		})
	}
}

// An environment of the configuration that is too large is not a fault of a message.
func TestAnEnvironmentThatIsTooLargeSpendsNothing(t *testing.T) {
	t.Parallel()
	var env []string
	for i := range 100 {
		env = append(env, fmt.Sprintf("LARGE%d=%s", i, strings.Repeat("x", 100<<10)))
	}
	h, err := New([]string{script(t, "true")}, &Config{Env: env, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	v := handler.VerdictOf(h.Handle(t.Context(), &handler.Message{ID: "1", Attributes: map[string]string{"a": "b"}}))
	require.True(t, v.Postponed, "%v", v.Err)
	require.ErrorContains(t, v.Err, "too long")
}
