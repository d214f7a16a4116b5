package queue

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzReceipt(f *testing.F) {
	f.Add(string(appendReceipt(nil, 1, 2)))
	f.Add("")
	f.Add("0000000000000001000000000000000G")
	f.Fuzz(func(t *testing.T, s string) {
		place, delivery, ok := parseReceipt(s)
		if ok {
			require.Equal(t, s, string(appendReceipt(nil, place, delivery)))
		}
	})
}

func FuzzAttributes(f *testing.F) {
	f.Add("", "", []byte{})
	f.Add("k", "v\x00\xff", encodeAttributes(map[string]string{"a": "b", "": ""}))
	f.Fuzz(func(t *testing.T, name, value string, stored []byte) {
		want := map[string]string{name: value, "other": ""}
		got, err := decodeAttributes(encodeAttributes(want))
		require.NoError(t, err)
		require.Equal(t, want, got)
		if a, err := decodeAttributes(stored); err == nil {
			again, err := decodeAttributes(encodeAttributes(a))
			require.NoError(t, err)
			require.Equal(t, a, again)
		}
	})
}
