package docstore

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/middleware/idempotency/internal/policy"
)

func TestKeysAreEscapedInjectively(t *testing.T) {
	reserved := regexp.MustCompile(`^(__.*__|\.|\.\.|)$`)
	seen := map[string]string{}
	for key, want := range map[string]string{
		"5:queue:key": "5:queue:key",
		policy.StoreKey("projects/p/subscriptions/s", "a/b"): "26:projects%2Fp%2Fsubscriptions%2Fs:a%2Fb",
		"a%2Fb": "a%252Fb", "a/b": "a%2Fb", "a%b": "a%25b", "/": "%2F", "//": "%2F%2F", "%": "%25", "%2F": "%252F",
		"": "%", ".": "%2E", "..": "%2E%2E", "...": "...", "%2E": "%252E", "a/../b": "a%2F..%2Fb",
		"__a__": "%5F_a__", "__": "%5F_", "_a": "_a", "____": "%5F___", "%5F_a__": "%255F_a__", "é/ü": "é%2Fü",
		strings.Repeat("/", policy.MaxKey): strings.Repeat("%2F", policy.MaxKey),
	} {
		got := escape(key)
		require.Equal(t, want, got, key)
		require.NotContains(t, got, "/")
		require.False(t, reserved.MatchString(got), got)
		require.LessOrEqual(t, len(got), 1024)
		require.Empty(t, seen[got], "%q and %q have one document", key, seen[got])
		seen[got] = key + " "
	}
}
