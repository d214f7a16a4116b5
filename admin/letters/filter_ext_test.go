package letters_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// letter returns a letter of orders.
func letter() letters.Letter {
	m := &handler.Message{ID: "m1", DedupeID: "d1", Body: []byte(`{"amount": 12}`), Attempt: 9, EnqueuedAt: noon.Add(-time.Hour),
		Attributes: map[string]string{"tenant": "acme", "type": "refund"}}
	m.Attributes = drivers.FailureAttributes(&drivers.Failure{Reason: "no such order: 17", First: noon.Add(-time.Minute), Last: noon, Consumer: "w1"},
		&handler.Message{Attributes: m.Attributes, Attempt: 3}, "orders", 0)
	return letters.Of(m)
}

func TestALetterIsWhatItsAttributesSay(t *testing.T) {
	t.Parallel()
	l := letter()
	require.Equal(t, []any{"no such order: 17", "refund", 3, "orders", "w1", "d1"}, []any{l.Reason, l.Kind, l.Attempts, l.Queue, l.Consumer, l.Identity()})
	require.Equal(t, noon, l.At())

	exhausted := letters.Of(&handler.Message{ID: "m", EnqueuedAt: noon, Attempt: 7, Attributes: map[string]string{drivers.AttributeDeadLetterQueue: "orders", drivers.AttributeDeadLetterAttempt: "5"}})
	require.Equal(t, letters.ReasonExhausted, exhausted.Reason)
	require.Equal(t, 5, exhausted.Attempts)
	require.Equal(t, noon, exhausted.At())
	require.Equal(t, "m", exhausted.Identity())

	foreign := letters.Of(&handler.Message{Attempt: 7})
	require.Equal(t, letters.ReasonUnknown, foreign.Reason)
	require.Zero(t, foreign.Attempts, "the letter's receives are not the message's attempts")

	live := letters.Live(&handler.Message{Attempt: 2, Attributes: l.Message.Attributes})
	require.Empty(t, live.Reason, "a sender can set it")
	require.Equal(t, 2, live.Attempts)
}

func TestAFilterSelectsWhatMeetsAll(t *testing.T) {
	t.Parallel()
	l := letter()
	for name, c := range map[string]struct {
		filter letters.Filter
		want   bool
	}{
		"all":              {letters.Filter{}, true},
		"id":               {letters.Filter{IDs: []string{"x", "m1"}}, true},
		"another id":       {letters.Filter{IDs: []string{"x"}}, false},
		"attributes":       {letters.Filter{Attributes: map[string]string{"tenant": "acme", "type": "refund"}}, true},
		"another value":    {letters.Filter{Attributes: map[string]string{"tenant": "globex"}}, false},
		"a missing one":    {letters.Filter{Attributes: map[string]string{"region": ""}}, false},
		"reason":           {letters.Filter{Reasons: []string{"x", "NO such order: *"}}, true},
		"part of a reason": {letters.Filter{Reasons: []string{"no such order"}}, false},
		"kind":             {letters.Filter{Kinds: []string{"refund"}}, true},
		"another kind":     {letters.Filter{Kinds: []string{"order"}}, false},
		"group":            {letters.Filter{Groups: []string{l.Group()}}, true},
		"another group":    {letters.Filter{Groups: []string{"g1"}}, false},
		"since":            {letters.Filter{Since: noon}, true},
		"later":            {letters.Filter{Since: noon.Add(1)}, false},
		"until":            {letters.Filter{Until: noon.Add(1)}, true},
		"earlier":          {letters.Filter{Until: noon}, false},
		"queue":            {letters.Filter{Queue: "orders"}, true},
		"another queue":    {letters.Filter{Queue: "payments"}, false},
		"where":            {letters.Filter{Where: func(l letters.Letter) bool { return l.Attempts == 3 }}, true},
		"where not":        {letters.Filter{Where: func(l letters.Letter) bool { return l.Attempts == 9 }}, false},
		"one of two":       {letters.Filter{Kinds: []string{"refund"}, Queue: "payments"}, false},
	} {
		require.Equal(t, c.want, c.filter.Matches(l), name)
		require.Equal(t, name == "all", c.filter.IsZero(), name)
		require.Equal(t, strings.HasSuffix(name, "id"), c.filter.OnlyIDs(), name)
	}
}

// matches reports whether a filter of one pattern selects a letter with this reason.
func matches(pattern, reason string) bool {
	f := letters.Filter{Reasons: []string{pattern}}
	return f.Matches(letters.Letter{Message: &handler.Message{}, Reason: reason})
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "any\nthing", true}, {"a*b*c", "aXXbYYbc", true}, {"a*b*c", "aXXbYY", false},
		{"?", "ä", true}, {"?", "", false}, {"??", "a", false}, {`\*`, "*", true}, {`\*`, "x", false}, {`a\`, `a\`, true},
		{"TIMEOUT*", "timeout after 3s", true}, {"**", "x", true}, {"*x", "xxx", true}, {"a?c", "abc", true}, {"straße", "STRASSE", false},
	} {
		require.Equal(t, c.want, matches(c.pattern, c.text), "%q on %q", c.pattern, c.text)
	}
}

// FuzzGlob compares a pattern with a regular expression of the same meaning.
func FuzzGlob(f *testing.F) {
	for _, s := range [][2]string{{"a*b?", "aXbY"}, {`\*\?\\`, `*?\`}, {"***", ""}, {"é*", "Éa"}, {`\`, `\`}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 50 || len(text) > 200 {
			return
		}
		for _, r := range pattern + text {
			if r > 'z' { // the two fold other alphabets in their own ways
				return
			}
		}
		var b strings.Builder
		b.WriteString(`(?is)^`)
		for i := 0; i < len(pattern); i++ {
			switch c := pattern[i]; {
			case c == '*':
				b.WriteString(".*")
			case c == '?':
				b.WriteString(".")
			case c == '\\' && i+1 < len(pattern):
				i++
				b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
			default:
				b.WriteString(regexp.QuoteMeta(string(c)))
			}
		}
		b.WriteString("$")
		require.Equal(t, regexp.MustCompile(b.String()).MatchString(text), matches(pattern, text), "%q on %q", pattern, text)
	})
}

func TestGroups(t *testing.T) {
	t.Parallel()
	var g letters.Groups
	add := func(id, kind, reason string, attempts int, at time.Time) letters.Letter {
		l := letters.Letter{Message: &handler.Message{ID: id}, Kind: kind, Reason: reason, Attempts: attempts, Last: at}
		g.Add(l)
		return l
	}
	add("a", "refund", "no such order: 1", 5, noon)
	add("b", "refund", "no such order: 2", 1, noon.Add(time.Minute))
	last := add("c", "refund", "no such order: 3", 0, noon.Add(-time.Minute))
	add("d", "order", "no such order: 3", 2, noon)
	got := g.Sorted()
	require.Equal(t, letters.Group{ID: last.Group(), Kind: "refund", Pattern: "no such order: #", Count: 3, First: noon.Add(-time.Minute), Last: noon.Add(time.Minute),
		MinAttempts: 1, MaxAttempts: 5, ExampleID: "b", Example: "no such order: 2"}, got[0])
	require.EqualValues(t, 1, got[1].Count)
	require.NotEqual(t, got[0].ID, got[1].ID)
	require.Regexp(t, `^g[0-9a-f]{8}$`, got[0].ID)
	require.Len(t, got, 2)
}
