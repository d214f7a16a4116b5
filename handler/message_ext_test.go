package handler_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

func TestExpires(t *testing.T) {
	t.Parallel()
	m := &handler.Message{}
	_, ok := m.Expires()
	require.False(t, ok)
	m.SetExpires(time.Time{})
	require.Nil(t, m.Attributes)

	at := time.Date(2026, 11, 29, 13, 0, 0, 5, time.FixedZone("CET", 3600))
	m.SetExpires(at)
	require.Equal(t, map[string]string{handler.AttributeExpires: "2026-11-29T12:00:00.000000005Z"}, m.Attributes)
	got, ok := m.Expires()
	require.True(t, ok)
	require.True(t, at.Equal(got))

	for _, bad := range []string{"", "tomorrow", "1764417600", "2026-11-29"} {
		m.SetAttribute(handler.AttributeExpires, bad)
		_, ok := m.Expires()
		require.False(t, ok, bad)
	}
	m.SetExpires(time.Time{})
	require.Empty(t, m.Attributes)
}

func FuzzExpires(f *testing.F) {
	f.Add("2026-11-29T12:00:00Z")
	f.Add("9999-12-31T23:59:59.999999999+23:59")
	f.Fuzz(func(t *testing.T, text string) {
		m := &handler.Message{}
		m.SetAttribute(handler.AttributeExpires, text)
		at, ok := m.Expires()
		if !ok || at.UTC().Year() < 0 || at.UTC().Year() > 9999 {
			return
		}
		m.SetExpires(at)
		again, ok := m.Expires()
		require.Equal(t, !at.IsZero(), ok)
		require.True(t, at.Equal(again))
	})
}
