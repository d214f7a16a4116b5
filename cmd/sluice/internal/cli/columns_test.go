package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLayoutFits(t *testing.T) {
	t.Parallel()
	rows := [][]string{
		{"ID", "KIND", "TIMES", "EMPTY", "A LONG HEADING", "REASON"},
		{"0123456789", "mail", "2026-11-29", "-", "a-queue-of-europe", strings.Repeat("because ", 9)},
		{"0123456789", "mail", "2026-11-29", "-", "a-queue-of-america", "unknown"},
	}
	l := layout{short: map[string]string{"A LONG HEADING": "QUEUE"}, drop: []string{"KIND", "TIMES"}, names: []string{"A LONG HEADING"}, texts: []string{"REASON"}}
	for _, c := range []struct {
		width int
		heads []string
		left  []string
	}{
		{0, rows[0], nil},
		{200, rows[0], nil},
		{100, []string{"ID", "KIND", "TIMES", "QUEUE", "REASON"}, nil},
		{56, []string{"ID", "KIND", "TIMES", "QUEUE", "REASON"}, nil},
		{50, []string{"ID", "TIMES", "QUEUE", "REASON"}, []string{"KIND"}},
		{40, []string{"ID", "QUEUE", "REASON"}, []string{"KIND", "TIMES"}},
		{30, []string{"ID", "QUEUE", "REASON"}, []string{"KIND", "TIMES"}},
	} {
		fitting, left := l.fit(rows, c.width)
		require.Equal(t, c.heads, fitting[0], c.width)
		require.Equal(t, c.left, left, c.width)
		require.Equal(t, "A LONG HEADING", rows[0][4], "the rows are the caller's")
		if c.width > 0 {
			require.LessOrEqual(t, tableWidth(widths(fitting)), c.width)
		}
	}
	fitting, _ := l.fit(rows, 40)
	require.Equal(t, "a-queu…europe", fitting[1][1])
	require.Equal(t, "a-queu…merica", fitting[2][1], "names that differ at the end stay apart")
	fitting, left := layout{}.fit(rows, 10)
	require.Equal(t, rows, fitting)
	require.Empty(t, left)
}

func TestFolded(t *testing.T) {
	t.Parallel()
	text := "the queue has no dead-letter queue, and a-word-that-is-longer-than-a-line stays whole"
	require.Equal(t, text, folded(text, 4, 4, 0), "no terminal")
	require.Equal(t, text, folded(text, 4, 4, 200))
	got := folded(text, 8, 4, 30)
	require.Equal(t, "the queue has no\n    dead-letter queue, and\n    a-word-that-is-longer-than-a-line\n    stays whole", got)
	for i, line := range strings.Split(got, "\n") {
		require.True(t, textWidth(line) <= 30 || i == 2, line)
	}
	require.Equal(t, text, strings.Join(strings.Fields(got), " "))
}
