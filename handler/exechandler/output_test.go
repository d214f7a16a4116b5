package exechandler

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// lines is a slog.Handler that keeps the attribute "line" of each record.
type lineKeeper struct{ lines []string }

func (k *lineKeeper) Enabled(context.Context, slog.Level) bool { return true }
func (k *lineKeeper) WithAttrs([]slog.Attr) slog.Handler       { return k }
func (k *lineKeeper) WithGroup(string) slog.Handler            { return k }
func (k *lineKeeper) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		k.lines = append(k.lines, a.Value.String())
		return true
	})
	return nil
}

func TestLogWriterCutsLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		writes, want []string
	}{
		{[]string{"a\nb\n"}, []string{"a", "b"}},
		{[]string{"a", "b\n", "\n", "c"}, []string{"ab", "c"}},
		{[]string{"a\r\n", "\xff\n"}, []string{"a", "\uFFFD"}},
		{[]string{strings.Repeat("x", longestLogged) + "\ny\n"}, []string{strings.Repeat("x", longestLogged), "y"}},
		{[]string{strings.Repeat("x", longestLogged+3) + "\n"}, []string{strings.Repeat("x", longestLogged), "xxx"}},
		{[]string{strings.Repeat("x", longestLogged-1), "yz\n"}, []string{strings.Repeat("x", longestLogged-1) + "y", "z"}},
	} {
		k := &lineKeeper{}
		w := &logWriter{log: slog.New(k)}
		for _, s := range c.writes {
			n, err := w.Write([]byte(s))
			require.NoError(t, err)
			require.Equal(t, len(s), n)
		}
		w.flush()
		require.Equal(t, c.want, k.lines)
	}
}

func FuzzLogWriter(f *testing.F) {
	f.Add("a\nb", 1)
	f.Add(strings.Repeat("x", 20000)+"\n"+strings.Repeat("y", 9000), 8192)
	f.Fuzz(func(t *testing.T, s string, at int) {
		k := &lineKeeper{}
		w := &logWriter{log: slog.New(k), tail: &tail{}}
		at = max(0, min(at, len(s)))
		for _, part := range []string{s[:at], s[at:]} {
			_, err := w.Write([]byte(part))
			require.NoError(t, err)
		}
		w.flush()
		// Lines are joined to what was written, but for line ends and bytes that
		// are not UTF-8.
		plain := func(s string) string {
			return strings.NewReplacer("\n", "", "\r", "", "\uFFFD", "").Replace(strings.ToValidUTF8(s, ""))
		}
		if !strings.ContainsRune(s, '\uFFFD') && len(s) < longestLogged {
			require.Equal(t, plain(s), plain(strings.Join(k.lines, "")))
		}
		for _, l := range k.lines {
			require.LessOrEqual(t, len(l), 3*longestLogged)
		}
		require.LessOrEqual(t, len(w.tail.kept), tailBytes)
	})
}

func TestTail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		writes []string
		want   string
	}{
		{nil, ""},
		{[]string{"a\n", " b\tc \n"}, "a b c"},
		{[]string{strings.Repeat("x", tailBytes-1), "yz"}, "..." + strings.Repeat("x", tailBytes-2) + "yz"},
		{[]string{strings.Repeat("a", 3*tailBytes) + "\nend"}, "..." + strings.Repeat("a", tailBytes-4) + " end"},
		{[]string{"\xff\xfe"}, ""},
	} {
		tl := &tail{}
		for _, s := range c.writes {
			tl.write([]byte(s))
		}
		require.Equal(t, c.want, tl.String())
	}
}
