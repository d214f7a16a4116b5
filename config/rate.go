package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Rate is so many messages in a time.
type Rate struct {
	N   int
	Per time.Duration
}

// ParseRate reads a rate: a number, a slash and a time, which may lack its number, as
// in 50/s, 1000/m or 5/10s.
func ParseRate(s string) (Rate, error) {
	number, per, ok := strings.Cut(s, "/")
	if !ok {
		return Rate{}, fmt.Errorf("%q is not a rate, such as 50/s or 5/10s", s)
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 {
		return Rate{}, fmt.Errorf("%q is not a rate: %q is not a whole number above 0", s, number)
	}
	if per != "" && (per[0] < '0' || per[0] > '9') {
		per = "1" + per
	}
	d, err := ParseDuration(per)
	if err != nil {
		return Rate{}, fmt.Errorf("%q is not a rate: %w", s, err)
	}
	if d <= 0 {
		return Rate{}, fmt.Errorf("%q is not a rate: its time is not above 0", s)
	}
	return Rate{N: n, Per: d}, nil
}

// String writes the rate as [ParseRate] reads it.
func (r Rate) String() string {
	per := FormatDuration(r.Per)
	if rest, ok := strings.CutPrefix(per, "1"); ok && rest != "" && (rest[0] < '0' || rest[0] > '9') && rest[0] != '.' && strings.Trim(rest, "wdhmsuµn") == "" {
		per = rest
	}
	return strconv.Itoa(r.N) + "/" + per
}
