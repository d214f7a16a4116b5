package exechandler

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

// A message that nobody has read has cost nothing: the program is being replaced, or a
// deployment left half of it out.
func TestAMessageThatNobodyReadIsPostponed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	require.NoError(t, os.WriteFile(script, []byte("#!/usr/bin/env python3.99\nprint(1)\n"), 0o700)) //nolint:gosec // it is run
	missing := filepath.Join(dir, "missing")
	const command, worker = 1, 2
	for _, tc := range []struct {
		name      string
		words     []string
		forms     int
		postponed bool
	}{
		{"the interpreter is missing", []string{script}, command | worker, true},
		{"what the shell starts is missing", []string{"sh", "-c", "exec " + missing}, command | worker, true},
		{"what the shell starts is a directory", []string{"sh", "-c", "exec " + dir}, command | worker, true},
		{"it reads, and calls what is missing", []string{"sh", "-c", "read line; " + missing}, command | worker, false},
		{"it reads, and fails", []string{"sh", "-c", "read line; exit 1"}, command | worker, false},
		{"it fails before it reads", []string{"sh", "-c", "exit 1"}, worker, true},
		// It may have worked by its environment.
		{"a command that fails and does not read", []string{"sh", "-c", "exit 1"}, command, false},
	} {
		for _, size := range []int{1, 1 << 20} { // a pipe holds 64 KiB
			m := &handler.Message{ID: "1", Body: append(bytes.Repeat([]byte("x"), size), '\n'), Attempt: 1}
			config := Config{Logger: slog.New(slog.DiscardHandler)}
			if tc.forms&command != 0 {
				t.Run(tc.name, func(t *testing.T) {
					h, err := New(tc.words, &config)
					require.NoError(t, err)
					err = h.Handle(t.Context(), m)
					require.Error(t, err)
					require.Equal(t, tc.postponed, handler.VerdictOf(err).Postponed, err)
				})
			}
			if tc.forms&worker != 0 {
				t.Run(tc.name+", as a worker", func(t *testing.T) {
					p, err := NewPool(tc.words, &PoolConfig{Config: config, Workers: 1, MinRestart: time.Millisecond})
					require.NoError(t, err)
					err = p.Handle(t.Context(), m)
					require.Error(t, err)
					require.Equal(t, tc.postponed, handler.VerdictOf(err).Postponed, err)
					require.NoError(t, p.Close())
				})
			}
		}
	}
}
