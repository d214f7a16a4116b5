package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		text string
		want time.Duration
	}{
		{"0", 0}, {"0s", 0}, {"5s", 5 * time.Second}, {"1.5h", 90 * time.Minute}, {"250ms", 250 * time.Millisecond},
		{"4d", 4 * day}, {"14d", 14 * day}, {"2w", 14 * day}, {"1w2d", 9 * day}, {"1d12h30m", day + 12*time.Hour + 30*time.Minute},
		{"0.5d", 12 * time.Hour}, {"-1d", -day}, {"+3s", 3 * time.Second}, {"106751d", 106751 * day},
	} {
		got, err := config.ParseDuration(c.text)
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, got, c.text)
	}
	for _, c := range []struct{ text, says string }{
		{"60", "has no unit: write 60s"}, {"", "is not a duration"}, {"d", "is not a duration"}, {"4x", "is not a duration"},
		{"4d5", "is not a duration"}, {"1d-5h", "is not a duration"}, {"5h4d", "is not a duration"}, {"1d1w", "is not a duration"}, {"--5s", "is not a duration"},
		{"-", "is not a duration"}, {"1e3d", "is not a duration"}, {"infd", "is not a duration"}, {"four days", "is not a duration"},
		{"200000d", "too long"}, {"106751d48h", "too long"},
	} {
		_, err := config.ParseDuration(c.text)
		require.ErrorContains(t, err, c.says, c.text)
	}
}

func TestFormatDuration(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"}, {time.Second, "1s"}, {90 * time.Second, "1m30s"}, {10 * time.Minute, "10m"}, {12 * time.Hour, "12h"},
		{4 * 24 * time.Hour, "4d"}, {36 * time.Hour, "36h"}, {250 * time.Millisecond, "250ms"}, {time.Hour + time.Second, "1h0m1s"},
		{-48 * time.Hour, "-2d"}, {time.Hour + 10*time.Minute, "1h10m"}, {20 * time.Hour, "20h"}, {100 * time.Second, "1m40s"},
	} {
		require.Equal(t, c.want, config.FormatDuration(c.d))
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"5s", "1w2d3h4m5s6ms", "-4d", "0.5d", "1e9d", "9223372036854775807ns", "106751d23h47m16.854775807s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := config.ParseDuration(s)
		if err != nil {
			return
		}
		again, err := config.ParseDuration(config.FormatDuration(d))
		require.NoError(t, err, "%q is %v, formatted %q", s, d, config.FormatDuration(d))
		require.Equal(t, d, again, "%q formatted %q", s, config.FormatDuration(d))
	})
}
