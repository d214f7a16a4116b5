package cli

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Wide characters take two columns, and what combines into one character is never split.
func TestWidths(t *testing.T) {
	t.Parallel()
	const family = "👨‍👩‍👧" // three people and two joiners
	for _, c := range []struct {
		text                string
		width               int
		most                int
		shortened, squeezed string
	}{
		{"", 0, 4, "", ""},
		{"order", 5, 4, "ord…", "or…r"},
		{"注文が失敗", 10, 10, "注文が失敗", "注文が失敗"},
		{"注文が失敗", 10, 9, "注文が失…", "注文…失敗"},
		{"注文が失敗", 10, 8, "注文が…", "注文…敗"},
		{family + family, 4, 3, family + "…", "…"},
		{"🇩🇪🇫🇷🇮🇹", 6, 5, "🇩🇪🇫🇷…", "🇩🇪…🇮🇹"},
		{"e\u0301te\u0301", 3, 2, "e\u0301…", "e\u0301…"},
		{"a注", 3, 2, "a…", "a…"},
		{"注a", 3, 2, "…", "…"},
	} {
		require.Equal(t, c.width, textWidth(c.text), c.text)
		require.Equal(t, c.shortened, shortened(c.text, c.most), c.text)
		require.Equal(t, c.squeezed, squeezed(c.text, c.most), c.text)
	}
	require.Equal(t, "注文  |", padded("注文", 6)+"|")
}

func TestAShortenedTextFits(t *testing.T) {
	t.Parallel()
	pieces := rapid.SliceOf(rapid.SampledFrom([]string{"a", " ", "注", "👨‍👩‍👧", "🇩🇪", "e\u0301", "ｱ", "\u200b", "‼️"}))
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(pieces.Draw(t, "pieces"), "")
		most := rapid.IntRange(1, 30).Draw(t, "most")
		for _, got := range []string{shortened(s, most), squeezed(s, most)} {
			require.LessOrEqual(t, textWidth(got), most, "%q", got)
			require.True(t, utf8.ValidString(got))
		}
		require.True(t, strings.HasPrefix(s, head(s, most)))
		require.True(t, strings.HasSuffix(s, tail(s, most)))
		if textWidth(s) <= most {
			require.Equal(t, s, shortened(s, most))
		}
	})
}

// The columns of a table stand below each other.
func TestATableWithWideCells(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	a := &app{out: &out}
	require.NoError(t, a.table([][]string{{"QUEUE", "REASON", "N"}, {"注文", "在庫がありません", "1"}, {"orders", "timeout", "2"}}, layout{}))
	require.Equal(t, "QUEUE   REASON            N\n注文    在庫がありません  1\norders  timeout           2\n", out.String())
}
