package sqstext_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/sqstext"
)

func TestCharacters(t *testing.T) {
	for _, c := range []struct {
		text string
		bad  rune // zero for none
	}{
		{"", 0}, {"plain", 0}, {"\t\n\r", 0}, {"é €  😀", 0}, {"\uFFFD", 0}, {"\uD7FF\uE000", 0}, {"\U0010FFFF", 0}, {"\x7f", 0},
		{"a\x01b", 1}, {"\x1f", 0x1f}, {"a\xff", utf8.RuneError}, {"€"[:2], utf8.RuneError}, {"x\uFFFE", 0xFFFE}, {"\uFFFFx", 0xFFFF},
		{"\xed\xa0\x80", utf8.RuneError}, // half of a surrogate pair
	} {
		got, bad := sqstext.Bad(c.text)
		require.Equal(t, c.bad, got, "%q", c.text)
		require.Equal(t, c.bad != 0, bad, "%q", c.text)
		require.Equal(t, !bad, sqstext.Valid([]byte(c.text)), "%q", c.text)
	}
	r, bad := sqstext.Bad("\x00")
	require.True(t, bad)
	require.Zero(t, r)
}
