package store

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzReceipt(f *testing.F) {
	f.Add(string(AppendReceipt(nil, 1, 2)))
	f.Add("")
	f.Add("0000000000000001000000000000000G")
	f.Fuzz(func(t *testing.T, s string) {
		place, delivery, ok := ParseReceipt(s)
		if ok {
			require.Equal(t, s, string(AppendReceipt(nil, place, delivery)))
		}
	})
}
