package sqlitequeue

import (
	"testing"

	"github.com/stretchr/testify/require"
)

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
