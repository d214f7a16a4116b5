//go:build unix

package exechandler

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/output"
)

// A library's output on standard output costs no message and becomes no verdict.
func TestAWorkerWhoseLibrariesPrint(t *testing.T) {
	t.Parallel()
	const loop = `
		while read -r line; do
			id=${line#*\"id\":\"}; id=${id%%\"*}
			if [ "$id" = first ]; then GOOD; continue; fi
			BEFORE
			ANSWER
			AFTER
		done`
	const answer = `echo '{"verdict":"ack","id":"'$id'"}'`
	for _, tc := range []struct {
		name, banner, before, answer, after string
		says                                string // the error's, of what follows the first message
	}{
		{name: "quiet", answer: answer},
		{name: "a banner", banner: "echo loading model ... done; echo", answer: answer},
		{name: "before an answer", before: "echo DEBUG handled; echo twice", answer: answer},
		{name: "without a line feed", before: "printf 'progress {100%%} '", answer: answer},
		{name: "after an answer", answer: answer, after: "echo done"},
		{name: "an answer that names no message", before: "echo DEBUG", answer: `echo '{"verdict":"ack"}'`, says: "is not a verdict"},
		{name: "an answer to another", before: "printf x", answer: `echo '{"verdict":"ack","id":"other"}'`, says: "is not a verdict"},
		{name: "a verdict that is none", before: "echo DEBUG", answer: `echo '{"verdict":"acked","id":"'$id'"}'`, says: "is not a verdict"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var logged output.Buffer
			text := tc.banner + strings.NewReplacer("GOOD", answer, "BEFORE", tc.before, "ANSWER", tc.answer, "AFTER", tc.after).Replace(loop)
			p, err := NewPool([]string{script(t, text)}, &PoolConfig{Workers: 1, MinRestart: time.Millisecond, Config: Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))}})
			require.NoError(t, err)
			defer p.Close()
			require.NoError(t, p.Handle(t.Context(), &handler.Message{ID: "first"}))
			if tc.says != "" {
				require.ErrorContains(t, p.Handle(t.Context(), &handler.Message{ID: "m-1"}), tc.says)
			} else {
				for _, id := range []string{"m-1", "m-2", "m-3"} {
					require.NoError(t, p.Handle(t.Context(), &handler.Message{ID: id}))
				}
			}
			if tc.banner+tc.before != "" {
				require.Contains(t, logged.String(), "a line that is not an answer")
			}
		})
	}
}
