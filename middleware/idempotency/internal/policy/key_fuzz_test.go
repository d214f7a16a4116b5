package policy_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-go/sluice/middleware/idempotency/internal/policy"
)

func FuzzStoreKey(f *testing.F) {
	f.Add("orders", "1", "orders:1", "")
	f.Add("", "3:a:b", "3", "a:b")
	f.Add("q", strings.Repeat("x", 300), "q", "\x00\xff")
	f.Fuzz(func(t *testing.T, n1, k1, n2, k2 string) {
		a, b := policy.StoreKey(n1, k1), policy.StoreKey(n2, k2)
		if (a == b) != (n1 == n2 && k1 == k2) {
			t.Errorf("(%q, %q) and (%q, %q) have the keys %q and %q", n1, k1, n2, k2, a, b)
		}
		if len(a) > policy.MaxKey || !utf8.ValidString(a) || strings.ContainsFunc(a, unicode.IsControl) {
			t.Errorf("no store key: %q", a)
		}
	})
}
