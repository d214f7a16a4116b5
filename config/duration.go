package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// ParseDuration reads a duration as [time.ParseDuration] does, and besides the
// units d (24 hours) and w (7 days), which come before all others: "4d", "1w2d",
// "1d12h". A number without a unit is an error, except 0.
func ParseDuration(s string) (time.Duration, error) {
	rest, negative := s, false
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		negative, rest = rest[0] == '-', rest[1:]
	}
	var total time.Duration
	long := false
	for _, u := range []struct {
		letter byte
		length time.Duration
	}{{'w', week}, {'d', day}} {
		i := strings.IndexByte(rest, u.letter)
		if i < 0 {
			continue
		}
		n, err := strconv.ParseFloat(rest[:i], 64)
		if err != nil || strings.ContainsAny(rest[:i], "+-_eExXiInN") {
			return 0, badDuration(s)
		}
		f := n * float64(u.length)
		if f >= math.MaxInt64-float64(total) {
			return 0, fmt.Errorf("the duration %q is too long", s)
		}
		total += time.Duration(f)
		rest, long = rest[i+1:], true
	}
	if rest != "" || !long {
		if rest != "" && (rest[0] == '-' || rest[0] == '+') {
			return 0, badDuration(s)
		}
		d, err := time.ParseDuration(rest)
		if err != nil {
			return 0, badDuration(s)
		}
		if d > math.MaxInt64-total {
			return 0, fmt.Errorf("the duration %q is too long", s)
		}
		total += d
	}
	if negative {
		total = -total
	}
	return total, nil
}

func badDuration(s string) error {
	if _, err := strconv.ParseFloat(s, 64); err == nil && strings.Trim(s, "+-0123456789.") == "" { // not NaN
		return fmt.Errorf("%q has no unit: write %ss, %sm, %sh or %sd", s, s, s, s, s)
	}
	return fmt.Errorf("%q is not a duration such as 500ms, 30s, 5m, 12h, 4d or 2w", s)
}

// FormatDuration writes d so that [ParseDuration] reads it, in days if it is
// whole days, and without the zeros of [time.Duration.String]: "4d", "10m".
func FormatDuration(d time.Duration) string {
	if d != 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
