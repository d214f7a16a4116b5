package swallow

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// URL returns a URL of the server at rawURL by a line, which is closed with the test.
func URL(t testing.TB, rawURL string) (*url.URL, *Line) {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	line := ToAddr(u.Host)
	t.Cleanup(line.Close)
	u.Host, err = line.Listen()
	require.NoError(t, err)
	return u, line
}
